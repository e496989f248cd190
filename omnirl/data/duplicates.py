"""Rows that say the same, contradict each other, or stand on both sides of the evaluation.

Images are compared by the sha256 of their bytes, so another name hides nothing; text is compared as it
is. Near-duplicates are not found here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from omnirl.data.quarantine import Problem
from omnirl.schema.row import Row

MANY_ANSWERS = ("generative", "code")
"""Tasks whose questions have many right answers: different ones do not contradict."""


def find_doubles(rows: Sequence[Row]) -> dict[str, Problem]:
    """Problems by uid, within one data set: later copies of a row, and rows that contradict each other.

    Of equal rows the first stays. Of contradicting rows none stays, since nobody can say which is
    right; they are looked for in split `train` only (weak labels may contradict, and an evaluation
    set is not changed silently), and not in tasks with many right answers.
    """
    problems: dict[str, Problem] = {}
    first: dict[tuple, str] = {}
    answers: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        question = (row.problem, row.image_sha256, row.box_image)
        kept = first.setdefault((*question, row.answer, row.bbox, row.thought), row.uid)
        if kept != row.uid:
            problems[row.uid] = Problem("duplicate", f"the same question, images and answer as {kept}")
        elif row.split == "train" and row.task not in MANY_ANSWERS:
            answers[question].append(row)
    for group in answers.values():
        if len({(row.answer, row.bbox) for row in group}) > 1:
            for row in group:
                other = next(r for r in group if (r.answer, r.bbox) != (row.answer, row.bbox))
                problems[row.uid] = Problem(
                    "contradictory", f"the same question and images as {other.uid}, which answers {other.answer[:80]!r}"
                )
    return problems


class Leak(NamedTuple):
    """What training and evaluation share."""

    images: int
    """Distinct images on both sides."""
    rows: int
    """Training rows (train and sft) that share an image, or a text-only question, with an evaluation row."""
    first: tuple[str, str] | None
    """uid of one such training row, and of an evaluation row it meets."""


def find_leak(rows: Iterable[Row]) -> Leak:
    """What the training rows among `rows` share with the evaluation rows."""
    asked: dict[str, str] = {}
    training: list[Row] = []
    for row in rows:
        if row.split == "eval":
            for key in _keys(row):
                asked.setdefault(key, row.uid)
        else:
            training.append(row)
    met = [(row, [key for key in _keys(row) if key in asked]) for row in training]
    leaking = [(row, keys) for row, keys in met if keys]
    images = {key for _, keys in leaking for key in keys if key.startswith("image ")}
    first = (leaking[0][0].uid, asked[leaking[0][1][0]]) if leaking else None
    return Leak(len(images), len(leaking), first)


def _keys(row: Row) -> list[str]:
    return [f"image {digest}" for digest in row.image_sha256] or [f"text {row.problem}"]
