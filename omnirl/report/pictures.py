"""Pictures of questions as data URIs, with the boxes of truth, champion and challenger laid over them.

Small pictures stay as they are (the page enlarges them without blur), large ones are reduced. Boxes
are returned in original pixels, to be drawn as vectors. A picture that cannot be decoded is
None, never a stand-in. Knows rows and records, nothing of HTML.
"""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from omnirl.errors import ContractError, DataError
from omnirl.geometry.frames import convert_box
from omnirl.io.images import load_image
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Box, Row

LONGEST_SIDE = 480
"""Pixels; larger pictures are reduced to this for the page."""
EXACT_COST = 1.5
"""A picture is kept exactly (PNG) unless that takes this many times the bytes of a JPEG."""
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Rectangle:
    """One box to draw: whose it is, and its upright corner and extent in original pixels."""

    who: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """One picture of a question; `uri` is None when it could not be decoded, `problem` then says why."""

    uri: str | None
    width: int
    height: int
    text: str
    boxes: tuple[Rectangle, ...] = ()
    problem: str = ""

    @property
    def small(self) -> bool:
        """Whether the picture is to be enlarged pixel by pixel."""
        return max(self.width, self.height) <= LONGEST_SIDE // 2


def encode(image: Image.Image) -> str:
    """`image` as a data URI, at most `LONGEST_SIDE` pixels on its longer side; the same bytes every time."""
    if max(image.size) > LONGEST_SIDE:
        scale = LONGEST_SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    exact, smaller = io.BytesIO(), io.BytesIO()
    image.save(exact, "PNG", optimize=True)
    image.save(smaller, "JPEG", quality=JPEG_QUALITY)
    kind = "png" if exact.tell() <= EXACT_COST * smaller.tell() else "jpeg"
    data = (exact if kind == "png" else smaller).getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def load(root: Path, reference: str, text: str, boxes: tuple[Rectangle, ...] = ()) -> Picture:
    """The picture `reference` (below `data/raw`) with `boxes` over it; undecodable ones say why."""
    try:
        image = load_image(root / layout.RAW, reference)
    except DataError as error:
        return Picture(None, 0, 0, text, problem=str(error))
    return Picture(encode(image), image.width, image.height, text, boxes)


def of_question(root: Path, row: Row, champion: EvalRecord, challenger: EvalRecord) -> list[Picture]:
    """All pictures of a question; the boxes lie over the one that the question is about."""
    boxes = {"truth": true_box(row), "champion": champion.box, "challenger": challenger.box}
    drawn = tuple(_rectangle(who, box) for who, box in boxes.items() if box and all(map(math.isfinite, box)))
    pictures = []
    for place, reference in enumerate(row.images):
        asked = place == row.box_image
        text = f"Picture {place + 1} of {len(row.images)}" if len(row.images) > 1 else "Picture of the question"
        if asked and drawn:
            text += "; " + ", ".join(f"{r.who} box {_corners(boxes[r.who])}" for r in drawn)
        pictures.append(load(root, reference, text, drawn if asked else ()))
    return pictures


def true_box(row: Row) -> Box | None:
    """The row's box in original pixels; None when it has none, or its frame needs a size nobody knows."""
    if row.bbox is None or row.box_frame is None or row.box_size is None:
        return row.bbox if row.box_frame in (None, "original_px") else None
    try:
        return convert_box(row.bbox, source=row.box_frame, target="original_px", original=row.box_size)
    except ContractError:
        return None


def _corners(box: Box | None) -> str:
    return "[" + ", ".join(f"{v:.0f}" for v in box or ()) + "]"


def _rectangle(who: str, box: Box) -> Rectangle:
    """`box` upright: an inverted one is drawn between its corners, never with a negative extent."""
    x, y = min(box[0], box[2]), min(box[1], box[3])
    return Rectangle(who, round(x, 2), round(y, 2), round(abs(box[2] - box[0]), 2), round(abs(box[3] - box[1]), 2))
