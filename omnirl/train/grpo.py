"""The stage `train`: GRPO from `models/sft` on verifiable rewards, with TRL's GRPOTrainer.

Builds the trainer from `params.yaml`, runs it, leaves `models/grpo`, `reports/train.json`,
`reports/train_curve.csv` and every rollout in `data/rollouts/train.parquet`.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import PrinterCallback, ProcessorMixin
from trl import GRPOConfig

from omnirl import rewards
from omnirl.config import Params
from omnirl.errors import DataError, TrainingError
from omnirl.io import files
from omnirl.io.rows import write_rollouts
from omnirl.io.runlog import log_event
from omnirl.models import families, loading
from omnirl.recorder.rollouts import Recorder, in_order
from omnirl.schema import layout
from omnirl.schema.row import Row
from omnirl.train import checkpoints, session
from omnirl.train.callbacks import Watch
from omnirl.train.grpo_trainer import MixedGRPOTrainer, Parts
from omnirl.train.reward_adapter import RewardAdapter
from omnirl.train.rows import Seen, grpo_dataset, load_datasets, prompt_tokens, row_files

logger = logging.getLogger(__name__)

STAGE = "train"
CURVE = {
    "reward": "reward",
    "accuracy": "rewards/accuracy/mean",
    "format": "rewards/format/mean",
    "completion_tokens": "completions/mean_length",
    "truncated": "completions/clipped_ratio",
    "loss": "loss",
    "entropy": "entropy",
    "frac_reward_zero_std": "frac_reward_zero_std",
}


def run(params: Params, root: Path) -> dict[str, Any]:
    """Improve the warm start with GRPO; goes on from its last checkpoint after an interruption.

    Returns:
        The content of `reports/train.json`.

    Raises:
        OmniRLError: missing rows or model, a reward that crashes, NaN loss, no space, or another
            trainer at work here.
    """
    with session.only_trainer(root, STAGE):
        cpu = session.prepare_machine(params.train, STAGE)
        base = loading.digest_of(root / layout.MODEL_SFT, params.model)
        sections = {
            "model": params.model.model_dump(mode="json"),
            "rewards": params.rewards.model_dump(mode="json"),
            STAGE: params.train.model_dump(mode="json"),
        }
        print_ = checkpoints.fingerprint(STAGE, sections, row_files(root, params.train.datasets), base)
        scratch = checkpoints.scratch_folder(root, STAGE, print_)
        if session.is_main():
            checkpoints.sweep(scratch, scratch / "work")
        trainer, used = build(params, root, scratch, cpu=cpu)
        counts = session.parameter_counts(trainer.model)
        trainer.train_or_resume()
        report = {"steps": trainer.state.global_step, "base_digest": base, **counts, **used}
        return finish(params, root, trainer, report)


def build(params: Params, root: Path, scratch: Path, *, cpu: bool) -> tuple[MixedGRPOTrainer, dict[str, Any]]:
    """The trainer, ready to run, and which rows it uses."""
    family = families.get(params.model.family)
    adapter = RewardAdapter(rewards.build(params.rewards))
    arguments = config_from(params, root, scratch, adapter.weights, cpu=cpu)
    processor = loading.load_processor(root / layout.MODEL_SFT, params.model)
    datasets, used = short_enough(params, root, processor, Seen(processor, family))
    enough_rows(datasets, arguments)
    model = loading.load_model(root / layout.MODEL_SFT, params.model)
    session.freeze(model, params.train.freeze, family)
    rows = [row for part in datasets.values() for row in part]
    parts = Parts(
        rows=rows,
        sizes=[len(part) for part in datasets.values()],
        family=family,
        rewards=adapter,
        recorder=Recorder(arguments.process_index),
    )
    trainer = MixedGRPOTrainer(
        parts,
        model=model,
        args=arguments,
        train_dataset=grpo_dataset(root, rows, params.model),
        processing_class=processor,
        peft_config=session.adapter(params.train, family),
    )
    trainer.add_callback(Watch(root, STAGE, "reward", lambda: take(trainer.seconds)))
    trainer.remove_callback(PrinterCallback)
    trainer.scratch = scratch
    return trainer, used


def config_from(params: Params, root: Path, scratch: Path, weights: Sequence[float], *, cpu: bool) -> GRPOConfig:
    """Section `train` as TRL's configuration."""
    t = params.train
    return GRPOConfig(
        **session.common_arguments(t, params.model, root, scratch / "work", cpu),
        per_device_train_batch_size=t.prompts_per_step * t.num_generations,
        num_generations=t.num_generations,
        num_iterations=t.num_iterations,
        max_completion_length=t.max_output_token_length,
        temperature=t.temperature,
        beta=t.beta,
        epsilon=t.epsilon,
        epsilon_high=t.epsilon_high,
        loss_type=t.loss_type,
        scale_rewards=t.scale_rewards,
        mask_truncated_completions=t.mask_truncated_completions,
        reward_weights=list(weights),
        log_multimodal=False,  # a collective entered only by ranks with images: the others would wait for ever
        log_completions=False,  # the recorder keeps all of them
    )


def short_enough(
    params: Params, root: Path, processor: ProcessorMixin, seen: Seen
) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Rows whose prompt fits `train.max_prompt_length`; the others are refused, counted and named in `runs/`.

    Raises:
        DataError: a data set has no row left.
    """
    limit = params.train.max_prompt_length
    kept: dict[str, list[Row]] = {}
    refused: list[str] = []
    for name, rows in load_datasets(root, params.train.datasets).items():
        lengths = [prompt_tokens(row, params.model, processor, seen) for row in rows]
        kept[name] = [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
        refused += [row.uid for row, length in zip(rows, lengths, strict=True) if length > limit]
        if not kept[name]:
            raise DataError(
                f"{name}: every prompt has more than train.max_prompt_length = {limit} tokens "
                f"(the shortest {min(lengths)}); raise it"
            )
    if refused:
        logger.warning(
            "%d rows have more than %d prompt tokens and are not used, first %s", len(refused), limit, refused[0]
        )
        log_event(root, "prompts_refused", limit=limit, uids=refused)
    return kept, {"datasets": {n: len(r) for n, r in kept.items()}, "refused_prompts": len(refused)}


def enough_rows(datasets: Mapping[str, Sequence[Row]], arguments: GRPOConfig) -> None:
    """Refuse a run whose one generation batch needs more prompts than there are: TRL would train on nothing."""
    have = sum(len(rows) for rows in datasets.values())
    need = (arguments.generation_batch_size or 0) // (arguments.num_generations or 1)
    if have < need:
        raise TrainingError(f"train: {have} rows, but each step needs {need} prompts; lower train.prompts_per_step")


def take(seconds: dict[str, float]) -> dict[str, float]:
    """A copy of `seconds`, which is emptied."""
    taken = dict(seconds)
    seconds.clear()
    return taken


def finish(params: Params, root: Path, trainer: MixedGRPOTrainer, report: dict[str, Any]) -> dict[str, Any]:
    """Write model, rollouts, curve and report; then the checkpoints are no longer needed."""
    weights = trainer.whole_weights()
    rollouts = in_order(gather_object(trainer.parts.recorder.rollouts))
    if not session.is_main():
        return report
    model = session.plain(trainer.accelerator.unwrap_model(trainer.model))
    processor = loading.load_processor(root / layout.MODEL_SFT, params.model)  # the used one keeps its last padding
    loading.save_model(model, processor, root / layout.MODEL_GRPO, weights=weights)
    write_rollouts(root / layout.ROLLOUTS / "train.parquet", rollouts)
    others = {n: f"rewards/{n}/mean" for n in trainer.parts.rewards.names if n not in CURVE}
    curve = session.write_curve(root / layout.TRAIN_CURVE, trainer.state.log_history, {**CURVE, **others})
    report["completions"] = len(rollouts)
    report["reward_first"], report["reward_last"] = curve[0]["reward"], curve[-1]["reward"]
    report["model_digest"] = loading.digest(root / layout.MODEL_GRPO)
    files.write_json(root / layout.TRAIN_REPORT, report)
    shutil.rmtree(trainer.scratch, ignore_errors=True)
    return report
