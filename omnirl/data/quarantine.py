"""A row that cannot be used, and the line about it in a quarantine file.

Quarantine keeps what was read, so nothing is lost; it must be writable whatever was read, so numbers
and characters that JSON cannot hold are spelled out, and long rows are cut.
"""

import json
from dataclasses import dataclass
from typing import Any

MAX_ROW_CHARACTERS = 4000
"""A longer row is kept as the beginning of its JSON text."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be used: a code for counting, a sentence for reading."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that a converter could not read."""

    line: int
    """Line of a JSON-lines file, or place in a JSON array; from 1 on."""
    code: str
    reason: str
    row: Any
    """What was read: the parsed value, or the text when it could not be parsed."""


def entry(source: str, line: int | None, uid: str | None, problem: Problem, stage: str, row: Any) -> dict[str, Any]:
    """One line of a quarantine file."""
    return {
        "source": source,
        "line": line,
        "uid": uid,
        "code": problem.code,
        "reason": _plain(problem.reason),
        "stage": stage,
        "row": _storable(row),
    }


def _storable(value: Any) -> Any:
    """`value` if JSON and UTF-8 can hold it and it is short; else its text, made so."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        text = _plain(repr(value) if not isinstance(value, str) else value)
        return text[:MAX_ROW_CHARACTERS]
    return value if len(text) <= MAX_ROW_CHARACTERS else text[:MAX_ROW_CHARACTERS]


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
