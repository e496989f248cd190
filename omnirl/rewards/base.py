"""What a reward is: a pure function of one completion and one row, with a name, a version and a range.

`Reward` wraps the function and holds it to its promises. It knows nothing of batches, weights or
training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from omnirl.errors import RewardError
from omnirl.schema.row import Row
from omnirl.schema.score import Score

Function = Callable[[str, Row], Score]


@dataclass(frozen=True, slots=True)
class Reward:
    """A registered reward; call it with `(completion, row)`."""

    name: str
    version: int
    """Raised whenever a value changes for any input."""
    low: float
    """Smallest value it can return."""
    high: float
    """Largest value; every exact answer gets it."""
    reference: str
    """Paper or repository the formula comes from."""
    summary: str
    """One sentence for lists and pages."""
    function: Function

    @property
    def title(self) -> str:
        """`name@version`, as reports show it."""
        return f"{self.name}@{self.version}"

    def __call__(self, completion: str, row: Row) -> Score:
        """Score `completion` as an answer to `row`.

        Raises:
            RewardError: the function raised, or returned a value that is not finite or outside
                `low..high`; the message names the reward and the row.
        """
        try:
            score = self.function(completion, row)
        except Exception as error:
            raise RewardError(
                f"reward {self.title}, row {row.uid}: cannot be scored ({type(error).__name__}: {error}); "
                "mend the row or the reward, a crash is never counted as 0"
            ) from error
        if not math.isfinite(score.value) or not self.low <= score.value <= self.high:
            raise RewardError(
                f"reward {self.title}, row {row.uid}: returned {score.value}, outside its declared range "
                f"{self.low:g}..{self.high:g}; mend the reward, nothing is clipped"
            )
        return score
