"""Compare two models on the same questions: exact McNemar, sign flips, bootstrap, Holm.

Everything is paired: position i of both inputs is the same question. Questions with an equal
cluster (same image or scene) are not independent and are moved together. Scores are plain numbers,
higher is better; what they mean, and what follows from a p value, is not known here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from omnirl.errors import ContractError

_CHUNK = 2_000_000
"""Numbers drawn at once, so that 10,000 draws over any n fit a laptop."""


class Paired(NamedTuple):
    """Outcome of one paired comparison; `challenger - champion` is the difference everywhere."""

    n: int
    champion: float
    """Mean score."""
    challenger: float
    gained: int
    """Questions on which the challenger is better."""
    lost: int
    p: float
    """Two-sided."""
    ci95: tuple[float, float]
    """95 % interval of the difference of means (percentile bootstrap by cluster)."""
    test: str
    """`mcnemar_exact`, or `sign_flip_by_cluster` when clusters repeat or scores are not right / wrong."""

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p value: a binomial test of `gained` among the discordant pairs.

    Example:
        >>> round(mcnemar(33, 19), 3), mcnemar(0, 0)
        (0.07, 1.0)
    """
    return 1.0 if gained + lost == 0 else float(binomtest(gained, gained + lost).pvalue)


def compare(
    champion: Sequence[float], challenger: Sequence[float], clusters: Sequence[str], *, samples: int, seed: int
) -> Paired:
    """Paired comparison of two score lists over the same questions.

    Args:
        champion: score of each question; right / wrong as 1 / 0.
        challenger: the same questions in the same order.
        clusters: questions with equal name are not independent.
        samples: draws of the bootstrap and, where needed, of the sign flips.
        seed: of both.

    Raises:
        ContractError: the three lists differ in length, or are empty.
    """
    if not len(champion) == len(challenger) == len(clusters) or not champion:
        raise ContractError(
            f"a paired comparison needs equally many scores: {len(champion)}, {len(challenger)}, {len(clusters)}"
        )
    old, new = np.asarray(champion, float), np.asarray(challenger, float)
    differences = (new - old).tolist()
    gained, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    binary = bool(np.isin(old, (0, 1)).all() and np.isin(new, (0, 1)).all())
    exact = binary and len(set(clusters)) == len(clusters)
    p = mcnemar(gained, lost) if exact else sign_flip(differences, clusters, samples=samples, seed=seed)
    interval = bootstrap_interval(differences, clusters, samples=samples, seed=seed)
    test = "mcnemar_exact" if exact else "sign_flip_by_cluster"
    return Paired(len(old), float(old.mean()), float(new.mean()), gained, lost, p, interval, test)


def by_cluster(differences: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the differences and number of questions of each cluster, in order of first appearance."""
    places: dict[str, int] = {}
    index = np.array([places.setdefault(name, len(places)) for name in clusters])
    sums = np.bincount(index, weights=np.asarray(differences, float), minlength=len(places))
    return sums, np.bincount(index, minlength=len(places)).astype(float)


def bootstrap_interval(
    differences: Sequence[float], clusters: Sequence[str], *, samples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference; whole clusters are drawn with replacement.

    Clusters with equal (sum, size) are interchangeable, so their counts are drawn at once from a
    multinomial distribution: the same bootstrap, much faster for right / wrong answers.
    """
    sums, sizes = by_cluster(differences, clusters)
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    means = []
    step = max(1, _CHUNK // len(kinds))
    for start in range(0, samples, step):
        drawn = generator.multinomial(counts.sum(), counts / counts.sum(), size=min(step, samples - start))
        totals = drawn @ kinds
        means.append(totals[:, 0] / totals[:, 1])
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def sign_flip(differences: Sequence[float], clusters: Sequence[str], *, samples: int, seed: int) -> float:
    """Two-sided p value of "no difference" when the sign of each cluster's sum is a coin flip.

    Monte Carlo with the observed value counted in, `(1 + hits) / (1 + samples)`, so it is never 0.
    """
    sums, _ = by_cluster(differences, clusters)
    sums = sums[sums != 0]
    if not sums.size:
        return 1.0
    observed = abs(sums.sum()) * (1 - 1e-12)
    generator = np.random.default_rng(seed)
    hits, step = 0, max(1, _CHUNK // sums.size)
    for start in range(0, samples, step):
        signs = generator.integers(0, 2, size=(min(step, samples - start), sums.size), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ sums) >= observed).sum())
    return (1 + hits) / (1 + samples)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; compare each with alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = running
    return adjusted
