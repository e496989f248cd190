"""Add rewards up, and say in words when their scales do not fit together.

Knows the rewards it is given and nothing of where they are registered; sees one completion at a
time, except in `scale_warnings`, which looks at values already scored.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import pstdev
from typing import NamedTuple

from omnirl.errors import ConfigError, RewardError
from omnirl.rewards.base import Reward
from omnirl.schema.row import Row
from omnirl.schema.score import Score

ACCURACY = "accuracy"
"""The part that stands for each row's own reward."""
SPREAD_RATIO = 5.0
"""OmniRL's advice made a number: no part may spread more than this many times another."""


class Mixed(NamedTuple):
    """Weighted sum and the unweighted scores it is made of, by part name."""

    total: float
    parts: dict[str, Score]


class Mix:
    """Weighted sum of rewards; `parts` are `(name, weight)` in the order of `params.yaml`."""

    def __init__(self, parts: Sequence[tuple[str, float]], known: Mapping[str, Reward]) -> None:
        """Raises `ConfigError` when a name stands twice or a weight is not finite."""
        self.parts = tuple(parts)
        self.known = known
        seen = [name for name, _ in self.parts]
        for name, weight in self.parts:
            if seen.count(name) > 1:
                raise ConfigError(f"rewards.parts: {name!r} stands twice; add the weights up instead")
            if not math.isfinite(weight):
                raise ConfigError(f"rewards.parts: the weight of {name!r} is {weight}; it must be a finite number")
        if not any(weight for _, weight in self.parts):
            raise ConfigError("rewards.parts: all weights are 0, so nothing would be learnt")

    def reward(self, part: str, row: Row) -> Reward:
        """The reward behind `part` for `row`.

        Raises:
            RewardError: the row names a reward that does not exist.
        """
        name = row.reward if part == ACCURACY else part
        if name not in self.known:
            known = ", ".join(sorted(self.known))
            raise RewardError(f"row {row.uid}: names the reward {name!r}, which does not exist; known: {known}")
        return self.known[name]

    def score(self, completion: str, row: Row) -> Mixed:
        """Score every part; a part that is `not_applicable` adds nothing. Raises `RewardError`."""
        scores = {name: self.reward(name, row)(completion, row) for name, _ in self.parts}
        return Mixed(math.fsum(weight * scores[name].value for name, weight in self.parts), scores)


def scale_warnings(values: Mapping[str, Sequence[float]]) -> list[str]:
    """One sentence for each part whose spread is over `SPREAD_RATIO` times that of another.

    Args:
        values: weighted values of each part, over the same completions.
    """
    spreads = {name: pstdev(v) for name, v in values.items() if len(v) > 1}
    moving = {name: spread for name, spread in spreads.items() if spread > 0}
    if len(moving) < 2:
        return []
    least = min(moving, key=moving.__getitem__)
    return [
        f"{name} spreads {spread / moving[least]:.1f} times as much as {least} (standard deviation {spread:.3g} "
        f"against {moving[least]:.3g}), so {least} will be learnt slowly; bring their weights closer"
        for name, spread in moving.items()
        if spread > SPREAD_RATIO * moving[least]
    ]
