"""The canonical row: one question with its images by reference, its answer and the frame of its box.

Every converter writes rows, every later stage reads them. Images are references
(`folder/file.zip::member` or `folder/file.png`, relative to `data/raw`), never pixels.
Boxes are `(x1, y1, x2, y2)` and always travel with their frame.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Frame = Literal["original_px", "resized_px", "per_mille"]
"""`original_px`: pixels of the image file; `resized_px`: pixels of the image the model saw;
`per_mille`: 1/1000 of width (x) and height (y)."""
Box = tuple[float, float, float, float]
Task = Literal["rec", "detection", "generative", "mcq", "yes_no", "numeric", "math", "code"]
Split = Literal["train", "sft", "eval"]


class Size(NamedTuple):
    """Width and height in pixels, both > 0."""

    width: int
    height: int


class Row(BaseModel):
    """One question. Written to parquet by `omnirl.io.rows`; field order is the column order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    """Unique over all sources: `<source name>/<row number>` unless the source has its own id."""
    dataset: str
    """Name of the source in `convert.sources`."""
    split: Split
    task: Task
    problem: str
    """The question as the user would type it; may hold `<image>` places, as many as images."""
    answer: str
    """The right (or, for weak labels, the given) answer as text; boxes as `[x1, y1, x2, y2]` in `box_frame`."""
    reward: str
    """Name of the accuracy reward that judges this row, e.g. `rec_iou`, `unified_accuracy`."""
    images: tuple[str, ...] = ()
    image_sha256: tuple[str, ...] = ()
    """sha256 of the encoded bytes of each image; filled in by `validate`."""
    sizes: tuple[Size, ...] = ()
    """Pixel size of each image after EXIF orientation; filled in by `validate`."""
    bbox: Box | None = None
    box_frame: Frame | None = None
    box_image: int = Field(default=0, ge=0)
    """Which of `images` the box lies in."""
    thought: str | None = None
    """Reasoning that an SFT target shows between `<think>` tags; None = no such block."""
    cluster: str = ""
    """Questions with equal cluster are not independent (same image or scene)."""
    source: str = ""
    """`file::member#row` the row was read from, for error messages and quarantine."""
    source_sha256: str = ""

    answer_frame: Frame | None = Field(default=None, exclude=True)
    """Frame in which the model under test writes boxes; set by `seen_by`, never stored."""
    resized: Size | None = Field(default=None, exclude=True)
    """Size of image `box_image` as the model saw it; set by `seen_by`, never stored."""

    def seen_by(self, answer_frame: Frame, resized: Size | None) -> "Row":
        """The same row, knowing in which frame the model answers and which image size it saw."""
        return self.model_copy(update={"answer_frame": answer_frame, "resized": resized})

    @property
    def box_size(self) -> Size | None:
        """Original size of the image the box lies in, if known."""
        return self.sizes[self.box_image] if self.box_image < len(self.sizes) else None
