"""What a reward returns. "Could not read" and "wrong" are different statuses, never one number."""

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "no_answer", "unparsable", "not_applicable"]
"""`ok`: an answer was read (right or wrong); `no_answer`: no answer block at all; `unparsable`: an
answer block whose content is not of the expected form; `not_applicable`: the reward does not concern
this row."""


@dataclass(frozen=True, slots=True)
class Score:
    """Value of one reward for one completion; `value` is finite and inside the reward's declared range."""

    value: float
    status: Status = "ok"
    parts: dict[str, float] = field(default_factory=dict)
    """Named components, for the recorder and the report (e.g. `{"bleu": .5, "rouge": .7}`)."""
