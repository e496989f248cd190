"""The rule: from paired comparisons to promote, hold, reject or refuse. Pure; knows no files and no models.

Two-sided, the first that applies:

1. *refuse*: the two cannot be compared (raised before this module is reached);
2. *reject*: a target or guard is worse (p <= alpha after Holm; a guard also by more than its margin);
3. *promote*: a target is better (p <= alpha after Holm) and every guard's 95 % interval stays above
   minus its margin;
4. *hold*: neither.

Holm's rule is applied once, over all targets and guards. Comparisons with the role `report`
decide nothing; where they are seen to fall they stand among the reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from omnirl.schema.reports import Verdict
from omnirl.stats.paired import holm
from omnirl.stats.power import questions_needed

DEFAULT_MARGIN = 0.10
"""Margin of a guard for which none is named."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of champion and challenger on one set of questions."""

    name: str
    """Set name, or `<set>.<figure>`."""
    role: Literal["target", "guard", "report"]
    n: int
    champion: float
    challenger: float
    gained: int
    lost: int
    p: float
    """Two-sided, of this comparison alone."""
    ci95: tuple[float, float]
    """Of challenger minus champion (of the relative change, for `length`)."""
    test: str
    visible: float
    """Smallest visible difference."""
    change: float
    """How much better the challenger is, in the direction in which more is better."""
    lowest: float
    """Pessimistic end of the 95 % interval of `change`."""
    margin: float = DEFAULT_MARGIN
    """For guards."""
    p_holm: float = 1.0
    """`p` after Holm among all targets and guards, so that any wrong decision has probability `alpha` at most; for
    `report`, `p` itself."""
    unit: Literal["share", "length"] = "share"
    discordant: float = 0.0
    """Share of questions on which the two differ."""


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with `p_holm` filled in, in the same order."""
    adjusted = {c.name: c.p for c in comparisons}
    family = [c for c in comparisons if c.role != "report"]
    adjusted.update(zip((c.name for c in family), holm([c.p for c in family]), strict=True))
    return [replace(c, p_holm=adjusted[c.name]) for c in comparisons]


def is_worse(c: Comparison, alpha: float) -> bool:
    """Whether `c` alone calls for *reject*."""
    if c.p_holm > alpha or c.change >= 0:
        return False
    return c.role == "target" or (c.role == "guard" and c.change < -c.margin)


def decide(comparisons: Sequence[Comparison], alpha: float) -> tuple[Verdict, list[str]]:
    """Verdict and its reasons, one sentence each, the deciding ones first.

    Args:
        comparisons: with `p_holm` filled in by `adjust`; at least one target.
        alpha: two-sided error probability.
    """
    worse = [c for c in comparisons if is_worse(c, alpha)]
    better = [c for c in comparisons if c.role == "target" and c.p_holm <= alpha and c.change > 0]
    open_guards = [c for c in comparisons if c.role == "guard" and c.lowest <= -c.margin]
    notes = [_note(c) for c in comparisons if _fell(c, alpha) and c not in worse]
    if worse:
        return "reject", [_worse(c) for c in worse] + [_better(c) for c in better] + notes
    if better and not open_guards:
        kept = [_kept(c) for c in comparisons if c.role == "guard"]
        return "promote", [_better(c) for c in better] + kept + notes
    unclear = [_unclear(c, alpha) for c in comparisons if c.role == "target" and c not in better]
    return "hold", [_better(c) for c in better] + [_open(c) for c in open_guards] + unclear + notes


def _fell(c: Comparison, alpha: float) -> bool:
    """Seen to fall; a length counts from a tenth on, since every wording changes it a little."""
    return c.p <= alpha and c.change < (-DEFAULT_MARGIN if c.unit == "length" else 0)


def figures(c: Comparison) -> str:
    """`71.8 % -> 74.6 %, 33 gained, 19 lost of 500, p = 0.070`."""
    values = f"{_value(c, c.champion)} -> {_value(c, c.challenger)}"
    adjusted = "" if c.p_holm == c.p else f", {c.p_holm:.2g} after Holm"
    return f"{values}, {c.gained} gained, {c.lost} lost of {c.n}, p = {c.p:.2g}{adjusted}"


def _value(c: Comparison, value: float) -> str:
    return f"{value:.0f} characters" if c.unit == "length" else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _worse(c: Comparison) -> str:
    guard = f" by more than its margin of {_points(c.margin)}" if c.role == "guard" else ""
    return f"{c.name} is worse{guard}: {figures(c)}."


def _better(c: Comparison) -> str:
    return f"{c.name} is better: {figures(c)}."


def _kept(c: Comparison) -> str:
    if c.unit == "length":
        return f"The guard {c.name} holds: it changes by at most {_points(-c.lowest)} of its mean ({figures(c)})."
    if c.lowest >= 0:
        return f"The guard {c.name} holds: it does not fall ({figures(c)})."
    return f"The guard {c.name} holds: it loses at most {_points(-c.lowest)}, its margin is {_points(c.margin)}."


def _open(c: Comparison) -> str:
    return (
        f"The guard {c.name} may have lost as much as {_points(-c.lowest)}, "
        f"more than its margin of {_points(c.margin)}: {figures(c)}."
    )


def _unclear(c: Comparison, alpha: float) -> str:
    if c.gained == c.lost == 0:
        return f"{c.name} shows no difference at all: both are at {_value(c, c.champion)} on the same {c.n} questions."
    seen = f"{c.name} shows no clear difference: {figures(c)}"
    size = f"differences below {_points(c.visible)} are hardly seen on {c.n} questions"
    needed = questions_needed(c.change, c.discordant, alpha=alpha)
    more = f"; a true difference of this size would need about {needed}" if needed and needed > c.n else ""
    return f"{seen}; {size}{more}."


def _note(c: Comparison) -> str:
    because = "it is no guard and does not decide" if c.role == "report" else "within its margin"
    if c.unit == "length":
        return f"{c.name} changed ({because}): {figures(c)}."
    return f"{c.name} fell ({because}): {figures(c)}."
