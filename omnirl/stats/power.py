"""How small a difference n paired questions can show, and how many a seen difference would need.

For right / wrong answers the sample size formula of the McNemar test is used (O. S. Miettinen,
Biometrics 24, 1968; R. J. Connor, Biometrics 43, 1987): with share d of discordant pairs and a
difference of shares D,

    n = (z(1 - alpha/2) * sqrt(d) + z(power) * sqrt(d - D^2))^2 / D^2

It is the power of the asymptotic test; the exact test that decides is slightly weaker at small n.
For other scores the normal formula (z + z) * standard error is used. What a difference is worth is
not known here.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from omnirl.errors import ContractError
from omnirl.stats.paired import by_cluster

POWER = 0.8
"""Chance of seeing a difference of the stated size."""


def visible_difference(n: int, discordant: float, *, alpha: float, power: float = POWER) -> float:
    """Smallest difference of shares (0..1) that `n` paired questions show with chance `power`.

    Args:
        n: number of questions, each its own cluster.
        discordant: share of questions on which the two models differ, observed or assumed. A difference
            cannot be larger than it, so where the formula asks for more, the share is raised to the difference.
        alpha: two-sided error probability.
        power: chance to see it.

    Returns:
        The difference; 1.0 when even that would not be seen.

    Raises:
        ContractError: `n` < 1 or `discordant` outside 0..1.

    Example:
        >>> round(visible_difference(2000, 0.08, alpha=0.05), 4)
        0.0177
    """
    if n < 1 or not 0 <= discordant <= 1:
        raise ContractError(f"smallest visible difference: n = {n}, discordant share = {discordant}")
    a, b = float(norm.isf(alpha / 2)), float(norm.ppf(power))

    def missing(difference: float) -> float:
        share = max(discordant, difference)
        return a * math.sqrt(share) + b * math.sqrt(max(0.0, share - difference**2)) - math.sqrt(n) * difference

    low, high = 0.0, 1.0
    if missing(high) > 0:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if missing(middle) > 0 else (low, middle)
    return high


def visible_mean_difference(
    differences: Sequence[float], clusters: Sequence[str], *, alpha: float, power: float = POWER
) -> float:
    """Smallest difference of means visible at the spread of `differences` between clusters.

    With m clusters and residuals r of the cluster sums around their share of the mean, the standard
    error of the mean over n questions is sqrt(m / (m - 1) * sum r^2) / n. Without any spread, the bound
    for right / wrong answers is returned.
    """
    sums, sizes = by_cluster(differences, clusters)
    n, m = float(sizes.sum()), len(sums)
    residuals = sums - sizes * sums.sum() / n
    spread = float(np.square(residuals).sum())
    if m < 2 or spread == 0:
        return visible_difference(m, 0.0, alpha=alpha, power=power)
    return float((norm.isf(alpha / 2) + norm.ppf(power)) * math.sqrt(spread * m / (m - 1)) / n)


def questions_needed(difference: float, discordant: float, *, alpha: float, power: float = POWER) -> int | None:
    """How many paired questions a difference of this size needs; None for no difference.

    Example:
        >>> questions_needed(0.028, 0.104, alpha=0.05)
        1039
    """
    size = abs(difference)
    if size == 0:
        return None
    share = max(discordant, size)
    root = norm.isf(alpha / 2) * math.sqrt(share) + norm.ppf(power) * math.sqrt(max(0.0, share - size**2))
    return math.ceil((root / size) ** 2)
