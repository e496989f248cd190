"""The stage `sft`: a supervised warm start from `models/base`, with TRL's SFTTrainer.

Rows are used as they are, weak labels included; making such labels is the business of whoever made
the data. Writes `models/sft`, `reports/sft.json`, `reports/sft_curve.csv`.
"""

import shutil
from pathlib import Path
from typing import Any

from torch.utils.data import Sampler
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from omnirl.config import Params
from omnirl.io import files
from omnirl.models import families, loading
from omnirl.schema import layout
from omnirl.train import checkpoints, session
from omnirl.train.callbacks import Watch
from omnirl.train.order import EpochOrder
from omnirl.train.resumable import Resumable
from omnirl.train.rows import Seen, load_datasets, row_files, sft_dataset

STAGE = "sft"
CURVE = {"loss": "loss", "token_accuracy": "mean_token_accuracy", "learning_rate": "learning_rate"}


class MixedSFTTrainer(Resumable, SFTTrainer):
    """SFT on rows with any number of images, in an order that follows seed and epoch."""

    order: EpochOrder

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        """Replaces `Trainer._get_train_sampler`, whose shuffle knows no data sets: each batch holds all of them."""
        return self.order


def run(params: Params, root: Path) -> dict[str, Any]:
    """Warm the base model up on `sft.datasets`; goes on from its last checkpoint after an interruption.

    Returns:
        The content of `reports/sft.json`.

    Raises:
        OmniRLError: missing rows or model, NaN loss, no space, or another trainer at work here.
    """
    with session.only_trainer(root, STAGE):
        cpu = session.prepare_machine(params.sft, STAGE)
        datasets = load_datasets(root, params.sft.datasets)
        base = loading.digest_of(root / layout.MODEL_BASE, params.model)
        sections = {"model": params.model.model_dump(mode="json"), STAGE: params.sft.model_dump(mode="json")}
        print_ = checkpoints.fingerprint(STAGE, sections, row_files(root, params.sft.datasets), base)
        scratch = checkpoints.scratch_folder(root, STAGE, print_)
        if session.is_main():
            checkpoints.sweep(scratch, scratch / "work")
        trainer = build(params, root, scratch, datasets, cpu=cpu)
        counts = session.parameter_counts(trainer.model)
        trainer.train_or_resume()
        report = {"steps": trainer.state.global_step, "base_digest": base, **counts}
        report["datasets"] = {name: len(rows) for name, rows in datasets.items()}
        return finish(params, root, trainer, report)


def build(params: Params, root: Path, scratch: Path, datasets: dict, *, cpu: bool) -> MixedSFTTrainer:
    """The trainer, ready to run."""
    family = families.get(params.model.family)
    arguments = SFTConfig(
        **session.common_arguments(params.sft, params.model, root, scratch / "work", cpu),
        per_device_train_batch_size=params.sft.batch_size,
        max_length=None,  # never cut a row
        dataset_kwargs={"skip_prepare_dataset": True},  # rows are prepared just in time
    )
    model = loading.load_model(root / layout.MODEL_BASE, params.model)
    processor = loading.load_processor(root / layout.MODEL_BASE, params.model)
    session.freeze(model, params.sft.freeze, family)
    rows = [row for part in datasets.values() for row in part]
    trainer = MixedSFTTrainer(
        model=model,
        args=arguments,
        train_dataset=sft_dataset(root, rows, params.model, Seen(processor, family)),
        processing_class=processor,
        peft_config=session.adapter(params.sft, family),
        callbacks=[Watch(root, STAGE, "loss")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.scratch = scratch
    trainer.order = EpochOrder([len(part) for part in datasets.values()], params.sft.seed)
    return trainer


def finish(params: Params, root: Path, trainer: MixedSFTTrainer, report: dict[str, Any]) -> dict[str, Any]:
    """Write model, curve and report; then the checkpoints are no longer needed."""
    weights = trainer.whole_weights()
    if not session.is_main():
        return report
    model = session.plain(trainer.accelerator.unwrap_model(trainer.model))
    processor = loading.load_processor(root / layout.MODEL_BASE, params.model)  # the used one keeps its last padding
    loading.save_model(model, processor, root / layout.MODEL_SFT, weights=weights)
    curve = session.write_curve(root / layout.SFT_CURVE, trainer.state.log_history, CURVE)
    report["loss_first"], report["loss_last"] = curve[0]["loss"], curve[-1]["loss"]
    report["model_digest"] = loading.digest(root / layout.MODEL_SFT)
    files.write_json(root / layout.SFT_REPORT, report)
    shutil.rmtree(trainer.scratch, ignore_errors=True)
    return report
