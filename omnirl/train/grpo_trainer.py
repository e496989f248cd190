"""TRL's GRPOTrainer for mixed batches: text only, one image and several images side by side.

Every override is small, names the method of TRL 1.16 it replaces and why; the tests of this module
fail when TRL makes one unnecessary or breaks it. Rewards, rows and recording come from outside;
this module knows no task.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import safetensors.torch
import torch
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from omnirl.io import files
from omnirl.models.families import Family, image_sizes_seen, split_by_row
from omnirl.recorder.rollouts import Recorder, Scored
from omnirl.schema.row import Row, Size
from omnirl.train.order import GroupedEpochOrder
from omnirl.train.resumable import Resumable
from omnirl.train.reward_adapter import RewardAdapter


class Parts(NamedTuple):
    """What the trainer needs of the project."""

    rows: Sequence[Row]
    """The rows behind the data set's column `row`."""
    sizes: Sequence[int]
    """Rows per data set, in the order they stand in `rows`."""
    family: Family
    rewards: RewardAdapter
    recorder: Recorder


class MixedGRPOTrainer(Resumable, GRPOTrainer):
    """GRPO on rows with any number of images, recorded, resumable bit by bit."""

    def __init__(self, parts: Parts, **kwargs: Any) -> None:
        self.parts = parts
        self.seen: list[list[Size]] = []
        self.seconds: dict[str, float] = {}
        self._mark = 0.0
        super().__init__(reward_funcs=list[Any](parts.rewards.functions()), **kwargs)
        banned = sorted(banned_tokens(self.processing_class, parts.family))
        self.generation_config.suppress_tokens = banned
        self.generation_kwargs["suppress_tokens"] = banned

    def _get_train_sampler(self, dataset: Any = None) -> GroupedEpochOrder:
        """Replaces `GRPOTrainer._get_train_sampler`: batches that hold all data sets, orders that follow the epoch."""
        return GroupedEpochOrder(
            cast(RepeatSampler, super()._get_train_sampler(dataset)), self.parts.sizes, self.args.seed
        )

    def _tokenize_prompts(self, prompts: list) -> tuple:
        """Replaces `GRPOTrainer._tokenize_prompts`: rows without images get `[]`, where TRL gives None and crashes.

        Notes the image sizes as the model sees them, which rewards need and TRL does not hand on.
        """
        ids, images, fields = super()._tokenize_prompts(prompts)
        if images is not None:
            images = [row or [] for row in images]
        counts = [len(row) for row in images] if images is not None else [0] * len(prompts)
        self.seen = split_by_row(image_sizes_seen(fields, self.parts.family), counts)
        self._lap("prompts")
        return ids, images, fields

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> tuple:
        """Replaces `GRPOTrainer._get_per_token_logps_and_entropies`: a chunk of text rows gets no pixels at all.

        TRL cuts the pixels of a mixed batch by rows and hands such a chunk empty tensors, on which vision towers crash.
        """
        return super()._get_per_token_logps_and_entropies(without_empty_pixels(model), *args, **kwargs)

    def _calculate_rewards(self, inputs: list, prompts: list, completions: list, completion_ids_list: list) -> Any:
        """Replaces `GRPOTrainer._calculate_rewards`: scores each completion once, with the row and the sizes it saw."""
        self._lap("generate")
        rows = [self._row(item, seen) for item, seen in zip(inputs, self.seen, strict=True)]
        self.parts.rewards.score(rows, [text_of(completion) for completion in completions])
        per_part = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._lap("rewards")
        ends = {*self.eos_token_ids, cast(int, self._tokenizer.pad_token_id)}
        self._batch = (
            rows,
            [text_of(completion) for completion in completions],
            [(len(ids), ids[-1] not in ends) for ids in completion_ids_list],
        )
        return per_part

    def _generate_and_score_completions(self, inputs: list) -> dict:
        """Replaces `GRPOTrainer._generate_and_score_completions`: the recorder gets batch and advantages."""
        self._mark = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        self._lap("advantages")
        advantages = output["advantages"].tolist()
        scored = [Scored(m.total, m.parts, a) for m, a in zip(self.parts.rewards.scored, advantages, strict=True)]
        self.parts.recorder.add(self.state.global_step + 1, *self._batch, scored)
        return output

    def _row(self, item: dict, seen: list[Size]) -> Row:
        row = self.parts.rows[item["row"]]
        return row.seen_by(self.parts.family.frame, seen[row.box_image] if seen else None)

    def _lap(self, phase: str) -> None:
        """Add the seconds since the last mark to `phase`; the caller empties `seconds` after each step."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._mark
        self._mark = now

    def save_extras(self, folder: Path) -> None:
        """Rollouts so far, the micro-step counter and, in the middle of a batch's passes, that batch.

        TRL keeps neither counter nor batch: a resumed run would sample anew at the wrong step.
        """
        self.parts.recorder.save(folder)
        every = cast(int, cast(GRPOConfig, self.args).steps_per_generation) * self.num_iterations
        buffer = self._buffered_inputs if self._step % every else None
        files.write_json(self._progress_file(folder), {"step": self._step, "buffer": plain_part(buffer)})
        if buffer is not None:
            files.write_bytes(self._buffer_file(folder), safetensors.torch.save(tensor_part(buffer)))

    def load_extras(self, folder: Path) -> None:
        """Go on where `save_extras` left off."""
        self.parts.recorder.load(folder)
        progress = files.read_json(self._progress_file(folder))
        self._step = progress["step"]
        if progress["buffer"] is not None:
            tensors = safetensors.torch.load(files.read_bytes(self._buffer_file(folder)))
            self._buffered_inputs = join_buffer(progress["buffer"], tensors, self.accelerator.device)

    def _progress_file(self, folder: Path) -> Path:
        return folder / f"rollout-{self.accelerator.process_index}.json"

    def _buffer_file(self, folder: Path) -> Path:
        return folder / f"rollout-{self.accelerator.process_index}.safetensors"


def without_empty_pixels(model: Any) -> Callable[..., Any]:
    """`model` as a function that leaves out pixels of no image."""

    def call(**inputs: Any) -> Any:
        pixels = inputs.get("pixel_values")
        if pixels is not None and not len(pixels):
            inputs = {k: v for k, v in inputs.items() if k not in ("pixel_values", "image_grid_thw")}
        return model(**inputs)

    return call


def banned_tokens(processor: Any, family: Family) -> set[int]:
    """Ids of every token that stands for pixels: a sampled one would match no image."""
    vocabulary = processor.tokenizer.get_vocab()
    return {vocabulary[token] for token in family.placeholders if token in vocabulary}


def text_of(completion: Any) -> str:
    """Text of a completion as TRL hands it to rewards: a list with one assistant message."""
    content = completion[0]["content"]
    return content if isinstance(content, str) else json.dumps(content)


def tensor_part(buffer: Sequence[dict]) -> dict[str, torch.Tensor]:
    """The tensors of a list of batches, by `number/key`."""
    return {
        f"{number}/{key}": value.detach().cpu().contiguous().clone()
        for number, batch in enumerate(buffer)
        for key, value in batch.items()
        if isinstance(value, torch.Tensor)
    }


def plain_part(buffer: Sequence[dict] | None) -> list[dict] | None:
    """Everything in a list of batches that is no tensor."""
    if buffer is None:
        return None
    return [{k: v for k, v in batch.items() if not isinstance(v, torch.Tensor)} for batch in buffer]


def join_buffer(plain: Sequence[dict], tensors: dict[str, torch.Tensor], device: torch.device) -> list[dict]:
    """Put `plain_part` and `tensor_part` together again."""
    batches: list[dict] = [dict(batch) for batch in plain]
    for name, value in tensors.items():
        number, _, key = name.partition("/")
        batches[int(number)][key] = value.to(device)
    return batches
