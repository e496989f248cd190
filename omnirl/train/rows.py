"""Training rows as TRL wants them: messages, images decoded just in time, sizes as the model sees them.

Rows come from `data/valid`; images stay references until a batch needs them. A prompt that is too
long is refused here, before training, never cut.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image
from transformers import ProcessorMixin

from omnirl import config
from omnirl.errors import DataError
from omnirl.io.images import load_image_cached
from omnirl.io.rows import read_rows
from omnirl.models import families, prompts
from omnirl.schema import layout
from omnirl.schema.row import Row, Size


def row_files(root: Path, datasets: Sequence[str]) -> list[Path]:
    """The files of valid rows of `datasets`, in this order."""
    return [root / layout.VALID / f"{name}.parquet" for name in datasets]


def load_datasets(root: Path, datasets: Sequence[str]) -> dict[str, list[Row]]:
    """Valid rows by data set.

    Raises:
        DataError: a file is missing, unreadable or empty.
    """
    loaded = {name: read_rows(path) for name, path in zip(datasets, row_files(root, datasets), strict=True)}
    for name, rows in loaded.items():
        if not rows:
            raise DataError(f"{layout.VALID}/{name}.parquet: no rows, nothing to train on; see {layout.QUARANTINE}")
    return loaded


class Seen:
    """Image sizes as the model sees them, by original size; asks the image processor once for each."""

    def __init__(self, processor: ProcessorMixin, family: families.Family) -> None:
        self._processor = processor
        self._family = family
        self._grids: dict[Size, tuple[int, ...]] = {}

    def grid(self, original: Size) -> tuple[int, ...]:
        """`(time, rows, columns)` that the image processor makes of an image of this size."""
        if original not in self._grids:
            batch = self._processor.image_processor(
                images=[Image.new("RGB", (original.width, original.height))], return_tensors="pt"
            )
            self._grids[original] = tuple(int(v) for v in batch["image_grid_thw"][0])
        return self._grids[original]

    def size(self, original: Size) -> Size:
        """Size in pixels of an image of size `original` as the model sees it."""
        return self._family.image_size_from_grid(self.grid(original))

    def box_size(self, row: Row) -> Size | None:
        """Size of the image the row's box lies in, as the model sees it; None without images."""
        return self.size(row.box_size) if row.images and row.box_size else None


def prompt_tokens(row: Row, model: config.Model, processor: ProcessorMixin, seen: Seen) -> int:
    """Tokens of the row's prompt, chat template and image tokens included."""
    text = processor.apply_chat_template(prompts.messages(row, model), add_generation_prompt=True, tokenize=False)
    merge = processor.image_processor.merge_size**2
    pixels = sum(grid[0] * grid[1] * grid[2] // merge - 1 for grid in map(seen.grid, row.sizes))
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"]) + pixels


def pictures(root: Path, row: Row) -> list[Image.Image]:
    """The row's images, decoded; treat them as read-only. Raises `DataError` naming the row and image."""
    try:
        return [load_image_cached(root / layout.RAW, reference) for reference in row.images]
    except DataError as error:
        raise DataError(f"{row.uid}: {error}") from error


def sft_dataset(root: Path, rows: Sequence[Row], model: config.Model, seen: Seen) -> Dataset:
    """Prompt, completion and images of each row, for TRL's SFTTrainer."""
    family = families.get(model.family)

    def transform(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        picked = [rows[k] for k in batch["row"]]
        answers = [prompts.target_text(row, family, seen.box_size(row)) for row in picked]
        return {
            "prompt": [prompts.messages(row, model) for row in picked],
            "completion": [[{"role": "assistant", "content": [{"type": "text", "text": a}]}] for a in answers],
            "images": [pictures(root, row) for row in picked],
        }

    return Dataset.from_dict({"row": list(range(len(rows)))}).with_transform(transform)


def grpo_dataset(root: Path, rows: Sequence[Row], model: config.Model) -> Dataset:
    """Prompt, images and row number of each row, for TRL's GRPOTrainer; text-only rows carry `[]`."""

    def transform(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        picked = [rows[k] for k in batch["row"]]
        return {
            "prompt": [prompts.messages(row, model) for row in picked],
            "images": [pictures(root, row) for row in picked],
            "row": list(batch["row"]),
        }

    return Dataset.from_dict({"row": list(range(len(rows)))}).with_transform(transform)
