"""Score recorded outputs anew, from what the model said; refuse what mixes frames.

Boxes: right when IoU > .5 in the ground truth's frame (see `omnirl.evaluate.found_frame`). Numbers: right
when equal. Geometry: decided here where both sides can be read as quantities of one unit, else by the
publisher's `is_correct`; both are counted. Own records keep their judgement. Compares no two files.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from omnirl.evaluate.extract import read_answer
from omnirl.evaluate.found_frame import find
from omnirl.evaluate.import_recorded import Form, Question, Recorded, as_box, read_recorded
from omnirl.evaluate.quantities import read_quantity
from omnirl.geometry.iou import iou
from omnirl.parsing.boxes import find_box, find_boxes
from omnirl.parsing.layout import is_well_formed
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Box, Frame
from omnirl.schema.score import Status

IOU_THRESHOLD = 0.5
"""As in the published evaluations: right above it."""
MAX_COORDINATE = 1e6
"""No image has as many pixels on a side; larger numbers are no coordinates."""
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d{1,15}(?:\.\d{1,15})?(?!\w|\.\d)")
_PLACE = r"\(\s{0,9}(-?\d{1,9}(?:\.\d{1,9})?)\s{0,9},\s{0,9}(-?\d{1,9}(?:\.\d{1,9})?)\s{0,9}\)"
_TWO_PLACES = re.compile(_PLACE + r"\s{0,9},?\s{0,9}" + _PLACE)


class Rescored(NamedTuple):
    """The outcome for one file."""

    path: Path
    form: Form
    n: int
    accuracy: float | None
    """Share of right answers; None when refused."""
    unparsable: int
    frame: Frame | None
    """Of the boxes compared; None for files without boxes, or refused."""
    refused: str | None
    records: list[EvalRecord]
    """One per question; empty when refused."""
    notes: list[str]
    """What a reader should know, in plain words."""
    decided: dict[str, int]
    """Geometry only: questions decided by `parser` and by `publisher`."""


def rescore(path: Path) -> Rescored:
    """Score the recorded file `path`.

    Raises:
        DataError: unreadable, empty, or of no known form.
    """
    recorded = read_recorded(path)
    result = {"boxes": _boxes, "numbers": _numbers, "geometry": _geometry, "records": _own}[recorded.form](recorded)
    if recorded.published is not None and result.accuracy is not None:
        stated = recorded.published / 100 if recorded.published > 1 else recorded.published
        if abs(stated - result.accuracy) > 0.004:
            note = f"the file itself states {100 * stated:.1f} %, which its model outputs do not bear out"
            result.notes.append(note)
    return result


def _result(recorded: Recorded, records: list[EvalRecord], frame: Frame | None, notes: list[str]) -> Rescored:
    n = len(records)
    right, unread = sum(r.correct for r in records), sum(r.status != "ok" for r in records)
    return Rescored(recorded.path, recorded.form, n, right / n, unread, frame, None, records, notes, {})


def _record(question: Question, task: str, status: Status, correct: bool, scores: dict[str, float]) -> EvalRecord:
    return EvalRecord(
        uid=question.uid,
        set="recorded",
        task=task,
        cluster=question.uid,
        prompt=question.question,
        completion=question.output,
        parsed=read_answer(question.output).text,
        status=status,
        correct=correct,
        scores={**scores, "format": float(is_well_formed(question.output))},
        tokens=0,
    )


def said_box(output: str) -> tuple[Box | None, Status]:
    """The box a recorded model said: in its answer block, else the last one outside thinking."""
    answer = read_answer(output)
    if answer.text is None:
        return None, answer.status
    box = find_box(answer.text)
    if box is None and "<answer>" not in output and (found := find_boxes(answer.text)):
        box = found[-1]
    if box is None and (places := _TWO_PLACES.findall(answer.text)):
        x1, y1, x2, y2 = (float(v) for v in places[-1])
        box = (x1, y1, x2, y2)
    if box is None or not all(abs(v) <= MAX_COORDINATE for v in box):
        return None, "unparsable"
    return box, "ok"


def said_number(output: str) -> tuple[float | None, Status]:
    """The number a recorded model said: all of its answer block, or the only number outside thinking.

    Example:
        >>> said_number("<answer> 4 </answer>"), said_number("I count 4."), said_number("<answer>A. 4</answer>")
        ((4.0, 'ok'), (4.0, 'ok'), (None, 'unparsable'))
    """
    answer = read_answer(output)
    if answer.text is None:
        return None, answer.status
    if "<answer>" in output:
        found = [answer.text] if _NUMBER.fullmatch(answer.text) else []
    else:
        found = _NUMBER.findall(answer.text)
    values = {float(v) for v in found}
    return (values.pop(), "ok") if len(values) == 1 else (None, "unparsable")


def _is_fraction(box: Box | None) -> bool:
    """Whether `box` is written in 0..1, a unit that no frame has."""
    return box is not None and min(box) >= 0 and max(box) <= 1 and any(box)


def _boxes(recorded: Recorded) -> Rescored:
    questions = recorded.questions
    said = [said_box(q.output) for q in questions]
    fractions = sum(_is_fraction(box) for box, _ in said)
    readable: list[tuple[Box | None, Status]] = [
        (None, "unparsable") if _is_fraction(box) else (box, status) for box, status in said
    ]
    found = find([q.truth for q in questions], [b for b, _ in readable], [as_box(q.extracted) for q in questions])
    if found.refused is not None:
        unread = sum(box is None for box, _ in readable)
        return Rescored(recorded.path, "boxes", len(questions), None, unread, None, found.refused, [], [], {})
    records = []
    for question, (_, status), box in zip(questions, readable, found.boxes, strict=True):
        value = 0.0 if box is None else iou(box, question.truth)
        state: Status = "unparsable" if box is None and status == "ok" else status
        scores = {"iou": value, "acc50": float(value > 0.5), "acc75": float(value > 0.75)}
        records.append(_record(question, "rec", state, value > IOU_THRESHOLD, scores))
    notes = ["boxes were moved into the ground truth's frame as extracted_answer was"] if found.rescaled else []
    if fractions:
        notes.append(f"{fractions} boxes are written in 0..1, which is none of the known frames; counted as unparsable")
    return _result(recorded, records, found.frame, notes)


def _numbers(recorded: Recorded) -> Rescored:
    records = []
    for question in recorded.questions:
        value, status = said_number(question.output)
        records.append(_record(question, "numeric", status, value == question.truth, {}))
    return _result(recorded, records, None, [])


def _geometry(recorded: Recorded) -> Rescored:
    records, decided, differ = [], Counter({"parser": 0, "publisher": 0}), 0
    for question in recorded.questions:
        answer = read_answer(question.output)
        own = None if answer.text is None else _same_quantity(answer.text, question.truth)
        if own is None and question.published is not None and answer.text is not None:
            decided["publisher"] += 1
            records.append(_record(question, "math", "ok", question.published, {}))
            continue
        decided["parser"] += 1
        differ += own is not None and question.published not in (None, own)
        status: Status = "unparsable" if own is None and answer.text is not None else answer.status
        records.append(_record(question, "math", status, bool(own), {}))
    notes = [f"{decided['parser']} questions decided by the project's parser, {decided['publisher']} by is_correct"]
    if differ:
        notes.append(f"on {differ} of the former the publisher's is_correct says otherwise")
    return _result(recorded, records, None, notes)._replace(decided=dict(decided))


def _same_quantity(answer: str, truth: str) -> bool | None:
    """Whether two texts say the same; None when that cannot be decided here."""
    if "".join(answer.split()) == "".join(truth.split()):
        return True
    said, right = read_quantity(answer), read_quantity(truth)
    if said is None or right is None:
        return None
    if said.unit is not None and right.unit is not None and said.unit != right.unit:
        return None
    return abs(said.value - right.value) <= 1e-6 * max(1.0, abs(right.value))


def _own(recorded: Recorded) -> Rescored:
    has_boxes = any(record.task in ("rec", "detection") for record in recorded.records)
    return _result(recorded, recorded.records, "original_px" if has_boxes else None, [])
