"""Read recorded evaluations, of this project or of other tools, into one shape. Scores nothing.

| form       | a row of `results` holds                                                             |
|------------|--------------------------------------------------------------------------------------|
| `boxes`    | `ground_truth` [x1, y1, x2, y2], `model_output`, `extracted_answer` (any frame)      |
| `numbers`  | `ground_truth` a number, `model_output`                                              |
| `geometry` | `ground_truth` a string with or without unit, `model_output`, often `is_correct`     |
| `records`  | our own `EvalRecord`, one per line of a `.jsonl`                                     |

The identity of a recorded question is its text, the image's file name without folder, its right answer,
and, where all three repeat, its how-manyth occurrence. Frames are not known here.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from omnirl.errors import DataError
from omnirl.io import files
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Box

Form = Literal["boxes", "numbers", "geometry", "records"]


class Question(NamedTuple):
    """One recorded question with its answer."""

    uid: str
    question: str
    truth: Any
    """Box, number or text, by the form of the file."""
    output: str
    """What the model really said."""
    extracted: Any
    """What the publisher's own parser made of it; in whatever frame."""
    published: bool | None
    """The publisher's judgement, where the row has one."""


class Recorded(NamedTuple):
    """A recorded file."""

    path: Path
    form: Form
    questions: list[Question]
    records: list[EvalRecord]
    """Only for the form `records`."""
    published: float | None
    """The accuracy that the file itself states, as it stands there."""


def read_recorded(path: Path) -> Recorded:
    """Read a recorded file (`.json`, `.jsonl`, each also `.gz`).

    Raises:
        DataError: missing, unreadable, empty, of no known form, or of mixed forms; names file, row and field.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return _own_records(path)
    content = files.read_json(path)
    rows = content.get("results") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected an object with a list `results`; this is no recorded evaluation")
    if not rows:
        raise DataError(f"{path}: `results` is empty, so there is nothing to score")
    parsed = [_row(row, f"{path}: results[{i}]") for i, row in enumerate(rows)]
    forms = Counter(form for form, _ in parsed)
    if len(forms) > 1:
        raise DataError(f"{path}: rows of different forms ({dict(forms)}); split the file")
    stated = content.get("accuracy") if isinstance(content, dict) else None
    published = float(stated) if isinstance(stated, (int, float)) and not isinstance(stated, bool) else None
    return Recorded(path, parsed[0][0], _identified([q for _, q in parsed]), [], published)


def _own_records(path: Path) -> Recorded:
    lines = files.read_jsonl(path)
    if not lines:
        raise DataError(f"{path}: no lines, so there is nothing to score")
    try:
        records = [EvalRecord.model_validate(line) for line in lines]
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{path}: not evaluation records ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        ) from None
    return Recorded(path, "records", [], records, None)


def _row(row: Any, where: str) -> tuple[Form, Question]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object, found {type(row).__name__}")
    for field in ("question", "ground_truth", "model_output"):
        if field not in row:
            raise DataError(f"{where}: the field {field} is missing, so this is no known form of recorded evaluation")
    if not isinstance(row["model_output"], str):
        raise DataError(f"{where}.model_output: expected text, found {type(row['model_output']).__name__}")
    question, image = _question(row, where)
    form, truth = _truth(row["ground_truth"], where)
    published = next((row[k] for k in ("is_correct", "correct") if isinstance(row.get(k), (bool, int))), None)
    key = "\0".join((question, image, repr(truth)))
    judged = None if published is None else bool(published)
    return form, Question(key, question, truth, row["model_output"], row.get("extracted_answer"), judged)


def _question(row: dict[str, Any], where: str) -> tuple[str, str]:
    """Question text and image file name (empty when unknown)."""
    question, image = row["question"], row.get("image", "")
    if isinstance(question, dict):
        image = question.get("image_path") or question.get("image") or image
        question = question.get("question") or question.get("problem")
    if not isinstance(question, str):
        raise DataError(f"{where}.question: expected text, or an object with the text as `question`")
    return question.strip(), PurePosixPath(image.replace("\\", "/")).name if isinstance(image, str) else ""


def _truth(value: Any, where: str) -> tuple[Form, Any]:
    if _is_number(value):
        return "numbers", float(value)
    if isinstance(value, str) and value.strip():
        return "geometry", value.strip()
    box = as_box(value)
    if box is None:
        raise DataError(f"{where}.ground_truth: neither a box of four numbers, nor a number, nor a text")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DataError(f"{where}.ground_truth: {list(box)} is no box, its corners are not top-left, bottom-right")
    return "boxes", box


def as_box(value: Any) -> Box | None:
    """`value` as a box when it is a list of four finite numbers."""
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(v) for v in value):
        return None
    x1, y1, x2, y2 = (float(v) for v in value)
    return x1, y1, x2, y2


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _identified(questions: Sequence[Question]) -> list[Question]:
    """The questions with readable, unique uids: equal ones are numbered in order of appearance."""
    seen: Counter[str] = Counter()
    found = []
    for question in questions:
        seen[question.uid] += 1
        text = " | ".join(part for part in question.uid.split("\0") if part)
        found.append(question._replace(uid=f"{text} #{seen[question.uid]}"))
    return found
