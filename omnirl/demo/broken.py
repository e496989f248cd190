"""Deliberately broken training rows, one of each kind in turn, for `validate` to find and name.

Only training files get them, in fixed turns. Knows what is broken and where, not how files look.
"""

from dataclasses import replace
from typing import Literal

from omnirl.demo.entry import Entry

Defect = Literal[
    "box_outside", "box_inverted", "missing_image", "truncated_image", "duplicate", "empty_question", "image_places"
]
TURNS: tuple[tuple[str, Defect], ...] = (
    ("scenes_train", "box_outside"),
    ("pairs_train", "image_places"),
    ("facts_train", "empty_question"),
    ("scenes_weak", "box_inverted"),
    ("pairs_train", "missing_image"),
    ("facts_train", "duplicate"),
    ("scenes_train", "truncated_image"),
    ("pairs_weak", "box_outside"),
    ("facts_weak", "empty_question"),
    ("scenes_train", "box_inverted"),
    ("pairs_weak", "truncated_image"),
    ("scenes_weak", "duplicate"),
    ("scenes_train", "missing_image"),
    ("pairs_train", "duplicate"),
)
"""Which annotation file gets which defect, in turn; after the last the first comes again."""


def planned(name: str, count: int) -> list[Defect]:
    """The defects that the file `name` gets when `count` broken rows are dealt out to all files."""
    dealt = [TURNS[i % len(TURNS)] for i in range(count)]
    return [defect for file, defect in dealt if file == name]


def damage_image(defect: Defect, data: bytes) -> bytes | None:
    """The bytes of a picture of the broken row: whole, half, or None for no file at all."""
    if defect in ("missing_image", "duplicate"):  # a duplicate shows the pictures of the row it repeats
        return None
    return data[: len(data) // 2] if defect == "truncated_image" else data


def damage_row(defect: Defect, entry: Entry, earlier: Entry) -> Entry:
    """The broken row made of `entry`, or of the sound row `earlier` that it repeats."""
    match defect:
        case "duplicate":
            return earlier
        case "empty_question":
            return replace(entry, question="")
        case "image_places":
            return replace(entry, places=entry.places + 1)
        case "box_outside" | "box_inverted" if not isinstance(entry.answer, str):
            x1, y1, x2, y2 = entry.answer
            outside = (x1, y1, x2 + entry.side, y2)
            return replace(entry, answer=outside if defect == "box_outside" else (x2, y2, x1, y1))
        case _:
            return entry
