"""One answer to one evaluation question. Scoring is offline: everything but `completion` can be redone."""

from pydantic import BaseModel, ConfigDict

from omnirl.schema.row import Box
from omnirl.schema.score import Status


class EvalRecord(BaseModel):
    """One line of `reports/eval/<who>/<set>.jsonl`; seconds are not part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    set: str
    task: str
    cluster: str
    prompt: str
    """The chat-templated text the model was given, image places included."""
    completion: str
    parsed: str | None
    """The answer that was read, in text; None when nothing could be read."""
    box: Box | None = None
    """The predicted box in original pixels, for box tasks."""
    status: Status
    correct: bool
    scores: dict[str, float]
    """`iou`, `acc50`, `acc75`, `format`, `bleu`, `rouge`, `meteor`, `unified`: what the task has."""
    tokens: int
