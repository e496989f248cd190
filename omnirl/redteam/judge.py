"""Compare what attacks earn with what honest answers earn, and put it into words.

Works on scores that exist already; knows nothing of files, rows' contents or how attacks are made.
Only the weighted sum decides. Single parts are compared as well, but the layout alone can always be
had without an answer, so they only warn.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from omnirl.rewards import scale_warnings

HONEST = "honest"


class Tried(NamedTuple):
    """One scored completion."""

    row: str
    """uid"""
    dataset: str
    attack: str
    """Name of the attack, or `honest`."""
    total: float
    """Weighted sum."""
    parts: dict[str, float]
    """Unweighted value by part, as in `rewards.parts`."""
    titles: dict[str, str]
    """`name@version` of the reward behind each part."""


class Finding(NamedTuple):
    """One attack that beats the honest answer by more than the margin in one dataset."""

    dataset: str
    attack: str
    honest: float
    paid: float
    beaten: int
    """Rows on which the attack is paid more than the honest answer, by more than the margin."""
    rows: int
    paying: tuple[str, ...]
    """Rewards (`name@version`) that pay the attack more than the honest answer."""
    accepted: bool
    """Whether every reward in `paying` is accepted on purpose."""


def summarise(values: Iterable[tuple[str, float]]) -> dict[str, Any]:
    """`{"honest", "best_attack", "best_attack_score", "attacks": {name: mean}}` of `(attack or honest, value)`."""
    by_name: dict[str, list[float]] = {}
    for name, value in values:
        by_name.setdefault(name, []).append(value)
    means = {name: round(fmean(v), 6) for name, v in by_name.items()}
    paid = means.pop(HONEST)
    best = max(means, key=means.__getitem__)
    return {"honest": paid, "best_attack": best, "best_attack_score": means[best], "attacks": means}


def by_reward(tried: Sequence[Tried], accept: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A summary for each reward, over the rows it judges, with `accepted`."""
    values: dict[str, list[tuple[str, float]]] = {}
    for t in tried:
        for part, title in t.titles.items():
            values.setdefault(title, []).append((t.attack, t.parts[part]))
    return {title: {**summarise(values[title]), "accepted": is_accepted(title, accept)} for title in sorted(values)}


def is_accepted(title: str, accept: Sequence[str]) -> bool:
    """Whether `redteam.accept` names this reward, with or without its version."""
    return title in accept or title.partition("@")[0] in accept


def findings(
    tried: Sequence[Tried], weights: Mapping[str, float], margin: float, accept: Sequence[str]
) -> list[Finding]:
    """Attacks whose mean weighted sum beats the honest one by more than `margin`, dataset by dataset.

    Datasets are judged one by one, so that an attack on one task is not hidden by the others.
    """
    groups: dict[tuple[str, str], dict[str, Tried]] = {}
    for t in tried:
        groups.setdefault((t.dataset, t.attack), {})[t.row] = t
    found = []
    for (dataset, attack), attacked in groups.items():
        right = groups[dataset, HONEST]
        paid, deserved = fmean(t.total for t in attacked.values()), fmean(t.total for t in right.values())
        if attack == HONEST or paid <= deserved + margin:
            continue
        beaten = sum(t.total > right[uid].total + margin for uid, t in attacked.items())
        paying = _paying(list(attacked.values()), right, weights)
        accepted = bool(paying) and all(is_accepted(title, accept) for title in paying)
        found.append(Finding(dataset, attack, deserved, paid, beaten, len(attacked), paying, accepted))
    return found


def _paying(attacked: Sequence[Tried], right: Mapping[str, Tried], weights: Mapping[str, float]) -> tuple[str, ...]:
    """Titles of the rewards whose weighted value is higher for the attack, summed over rows."""
    gain: dict[str, float] = {}
    for t in attacked:
        for part, title in t.titles.items():
            gain[title] = gain.get(title, 0.0) + weights[part] * (t.parts[part] - right[t.row].parts[part])
    return tuple(sorted(title for title, value in gain.items() if value > 0))


def say(finding: Finding) -> str:
    """One sentence: attack, dataset, rewards, numbers, rows."""
    return (
        f"{finding.attack} is paid {finding.paid:.3f} on {finding.dataset} where the honest answer is paid "
        f"{finding.honest:.3f} ({finding.beaten} of {finding.rows} rows; paid by {', '.join(finding.paying)})"
    )


def warnings(
    rewards: Mapping[str, Mapping[str, Any]], margin: float, tried: Sequence[Tried], weights: Mapping[str, float]
) -> list[str]:
    """Sentences that do not stop the pipeline: parts that can be had without an answer, unlike scales."""
    said = [
        f"{title} alone can be had without an answer: {r['best_attack']} is paid {r['best_attack_score']:.3f}, the "
        f"honest answer {r['honest']:.3f}; only the weighted sum decides"
        for title, r in rewards.items()
        if r["best_attack_score"] >= r["honest"] - margin
    ]
    scales = {part: [weight * t.parts[part] for t in tried] for part, weight in weights.items()}
    return said + scale_warnings(scales)
