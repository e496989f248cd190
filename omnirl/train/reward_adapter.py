"""The project's rewards in the form TRL calls them: one function for each part of the sum.

Completions are scored once, by `RewardAdapter.score`; the functions handed to TRL look values up.
So the curve has a line for each part, the weighted sum is TRL's own, and the full scores (with
statuses) stay at hand for the recorder. Knows nothing of batches, processes or tensors.
"""

from collections.abc import Callable, Sequence
from typing import Any

from omnirl.errors import ContractError
from omnirl.rewards import Mix, Mixed
from omnirl.schema.row import Row

RewardFunction = Callable[..., list[float | None]]


class RewardAdapter:
    """Scores of the latest generation batch, by completion."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.scored: list[Mixed] = []

    @property
    def names(self) -> list[str]:
        """Parts of the sum, in the order of `params.yaml`."""
        return [name for name, _ in self.mix.parts]

    @property
    def weights(self) -> list[float]:
        """Weights of the parts, for `GRPOConfig.reward_weights`."""
        return [weight for _, weight in self.mix.parts]

    def score(self, rows: Sequence[Row], completions: Sequence[str]) -> list[Mixed]:
        """Score a batch; rows must know frame and image size (`Row.seen_by`).

        Raises:
            RewardError: a reward crashed or left its range; names the reward and the row.
        """
        self.scored = [self.mix.score(text, row) for row, text in zip(rows, completions, strict=True)]
        return self.scored

    def functions(self) -> list[RewardFunction]:
        """One function per part, named as the part, returning the values of the latest `score`."""
        return [self._function(name) for name in self.names]

    def _function(self, name: str) -> RewardFunction:
        def part(completions: Sequence[Any], **_: Any) -> list[float | None]:
            if len(completions) != len(self.scored):
                raise ContractError(
                    f"reward {name}: {len(completions)} completions, but {len(self.scored)} were scored"
                )
            scores = [mixed.parts[name] for mixed in self.scored]
            return [None if score.status == "not_applicable" else score.value for score in scores]

        part.__name__ = name
        return part
