"""One sampled completion, as the flight recorder keeps it. Times are recorded elsewhere (`runs/`)."""

from pydantic import BaseModel, ConfigDict


class Rollout(BaseModel):
    """One line of `data/rollouts/train.parquet`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    rank: int
    uid: str
    task: str
    completion: str
    tokens: int
    """Completion tokens, end token included."""
    truncated: bool
    """No end token within `train.max_output_token_length`."""
    reward: float
    """Weighted sum that the trainer optimises."""
    advantage: float
    parts: dict[str, float]
    """Unweighted value of each configured reward."""
    statuses: dict[str, str]
    """Status of each configured reward."""
