"""Score answers offline: row + completion -> record. No model, no torch; can be repeated at will.

"Could not read" and "wrong" stay apart: a record has a status, and an unreadable answer has its
scores at 0 with the status saying why. Knows nothing of how answers were generated.
"""

from typing import NamedTuple

from omnirl.config import Params
from omnirl.errors import ContractError
from omnirl.evaluate.extract import read_answer
from omnirl.geometry.frames import convert_box
from omnirl.geometry.iou import iou
from omnirl.models import families
from omnirl.models.codec import decode_box
from omnirl.parsing.layout import is_well_formed
from omnirl.rewards.text_overlap import overlap, unified
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Box, Row, Size
from omnirl.schema.score import Status

TASKS = ("rec", "generative")
"""Tasks that can be evaluated."""


class Answered(NamedTuple):
    """What a model said to one question, and what it saw."""

    uid: str
    prompt: str
    completion: str
    tokens: int
    sizes: tuple[Size, ...]
    """Size of each image as the model saw it, in pixels."""


def score(row: Row, said: Answered, set_name: str, params: Params) -> EvalRecord:
    """The record of one answer.

    Args:
        row: the question, with its right answer.
        said: the answer to it.
        set_name: key of `evaluate.sets`.
        params: thresholds, text weights and model family are read.

    Raises:
        ContractError: the answer belongs to another question, or the row lacks a box, frame or size.
    """
    if said.uid != row.uid:
        raise ContractError(f"{row.uid}: scored with the answer to {said.uid}")
    answer = read_answer(said.completion)
    box, status, values, correct = None, answer.status, {}, False
    if row.task == "rec":
        box, status, values, correct = _score_box(row, said, answer.text, answer.status, params)
    elif row.task == "generative":
        values, correct = _score_text(row, answer.text, params)
    else:
        raise ContractError(f"{row.uid}: task {row.task} is not evaluated here; known: {', '.join(TASKS)}")
    return EvalRecord(
        uid=row.uid,
        set=set_name,
        task=row.task,
        cluster=row.cluster or row.uid,
        prompt=said.prompt,
        completion=said.completion,
        parsed=answer.text,
        box=box,
        status=status,
        correct=correct,
        scores={**values, "format": float(is_well_formed(said.completion))},
        tokens=said.tokens,
    )


def _score_box(
    row: Row, said: Answered, text: str | None, status: Status, params: Params
) -> tuple[Box | None, Status, dict[str, float], bool]:
    if row.bbox is None or row.box_frame is None or row.box_size is None:
        raise ContractError(f"{row.uid}: a rec row needs a box, its frame and the image size; run validate first")
    truth = convert_box(row.bbox, source=row.box_frame, target="original_px", original=row.box_size)
    seen = said.sizes[row.box_image] if row.box_image < len(said.sizes) else None
    box = None if text is None else decode_box(text, families.get(params.model.family), row.box_size, seen)
    if text is not None and box is None:
        status = "unparsable"
    value = 0.0 if box is None else iou(box, truth)
    scores = {"iou": value, "acc50": float(value > 0.5), "acc75": float(value > 0.75)}
    return box, status, scores, value > params.evaluate.iou_threshold


def _score_text(row: Row, text: str | None, params: Params) -> tuple[dict[str, float], bool]:
    if text is None:
        return dict.fromkeys(("bleu", "rouge", "meteor", "unified"), 0.0), False
    parts = overlap(text, row.answer)
    value = unified(parts, params.rewards.unified_accuracy)
    scores = {"bleu": parts.bleu, "rouge": parts.rouge, "meteor": parts.meteor, "unified": value}
    return scores, value >= params.evaluate.text_threshold


def headline(task: str, params: Params) -> str:
    """Name of the share of right answers of a task: `acc50` for boxes, `unified50` for text, by threshold."""
    if task == "rec":
        return f"acc{round(100 * params.evaluate.iou_threshold)}"
    return f"unified{round(100 * params.evaluate.text_threshold)}"


def summarise(records: list[EvalRecord], params: Params) -> dict[str, float]:
    """Means over one set: the headline first, then every score, `unreadable`, `tokens` and `length` (characters)."""
    n = len(records)
    names = dict.fromkeys(name for record in records for name in record.scores)
    means = {name: sum(r.scores[name] for r in records) / n for name in names}
    return {
        headline(records[0].task, params): sum(r.correct for r in records) / n,
        **{name: value for name, value in means.items() if name != headline(records[0].task, params)},
        "unreadable": sum(r.status != "ok" for r in records) / n,
        "tokens": sum(r.tokens for r in records) / n,
        "length": sum(len(r.completion) for r in records) / n,
    }
