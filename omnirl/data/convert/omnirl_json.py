"""OmniRL's own files: an array (or JSON lines) of `{"problem", "solution", "image": [paths...]}`.

One file may mix text-only rows (`image` missing, null or empty), one-image and many-image rows. For
tasks with boxes `solution` is the box; for the others it is text or a number.
"""

from collections.abc import Iterator
from typing import Any

from omnirl.config import Source
from omnirl.data.convert.reading import (
    BadRow,
    Parts,
    box_of,
    box_text,
    convert_rows,
    field,
    image_names,
    reward_of,
    split_thought,
)
from omnirl.data.quarantine import Rejected
from omnirl.data.terms import BOX_TASKS
from omnirl.schema.row import Row


def convert(data: bytes, source: Source, where: str) -> Iterator[Row | Rejected]:
    """Rows of `data`; raises `DataError` when the file cannot be read to its end."""
    return convert_rows(data, source, where, _read)


def _read(item: dict[str, Any], source: Source) -> Parts:
    images = image_names(item, required=False)
    problem = field(item, "problem", str)
    solution = field(item, "solution", (str, list, int, float))
    reward = reward_of(item, source)
    thought, answer = split_thought(solution) if isinstance(solution, str) else (None, solution)
    if source.task in BOX_TASKS:
        box = box_of(answer, "solution")
        return Parts(images, problem, box_text(box), reward, box, thought)
    if isinstance(answer, list):
        raise BadRow("wrong_type", "the field 'solution' is a list, not text or a number")
    return Parts(images, problem, str(answer), reward, None, thought)
