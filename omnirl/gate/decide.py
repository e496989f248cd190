"""From the records of two models on the same questions to comparisons and a decision.

Records in, decision out: pairs questions by uid, computes the tests and the figures that can be
guards, applies `omnirl.gate.rules`. Knows nothing of files, frames or how records were made.

| figure       | meaning of one question                            | better |
|--------------|----------------------------------------------------|--------|
| `acc75`      | IoU > .75                                          | up     |
| `format`     | one think block, one answer block, nothing else    | up     |
| `unreadable` | no answer could be read                            | down   |
| `length`     | characters of the completion, relative to the mean | same   |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnirl.errors import RefusedError
from omnirl.gate import rules
from omnirl.gate.rules import Comparison
from omnirl.schema.record import EvalRecord
from omnirl.schema.reports import Verdict
from omnirl.stats import paired, power

FIGURES = ("acc75", "format", "unreadable", "length")
"""What `gate.margins` and `--margin` may name beside `out_of_domain`."""
Pair = tuple[EvalRecord, EvalRecord]


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of the section `gate` that the decision needs."""

    alpha: float
    samples: int
    seed: int
    margins: dict[str, float]


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """One set of questions, paired."""

    name: str
    role: Literal["target", "guard", "report"]
    pairs: list[Pair]
    """(champion, challenger) of each question."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Verdict, reasons and every comparison behind it."""

    verdict: Verdict
    reasons: list[str]
    comparisons: dict[str, Comparison]
    """By name: one for each set, and `<set>.<figure>`."""


def pair(name: str, champion: Sequence[EvalRecord], challenger: Sequence[EvalRecord]) -> list[Pair]:
    """The two answers to each question, in the champion's order; questions are matched by uid.

    Raises:
        RefusedError: a uid stands twice, or the two answered different questions.
    """
    old, new = _by_uid(name, "champion", champion), _by_uid(name, "challenger", challenger)
    if len(old) != len(new):
        raise RefusedError(f"{name}: the champion answered {len(old)} questions, the challenger {len(new)}")
    missing = [uid for uid in old if uid not in new]
    if missing:
        raise RefusedError(
            f"{name}: {len(missing)} of {len(old)} questions differ between champion and challenger, "
            f"first {missing[0][:120]!r}"
        )
    if not old:
        raise RefusedError(f"{name}: there are no questions to compare")
    return [(record, new[uid]) for uid, record in old.items()]


def _by_uid(name: str, who: str, records: Sequence[EvalRecord]) -> dict[str, EvalRecord]:
    found = {record.uid: record for record in records}
    if len(found) != len(records):
        seen: set[str] = set()
        double = next(r.uid for r in records if r.uid in seen or seen.add(r.uid))
        raise RefusedError(f"{name}: the {who} holds the question {double!r} more than once")
    return found


def judge(sets: Sequence[JudgedSet], settings: Settings) -> Decision:
    """Compare every set and figure, and decide.

    Args:
        sets: at least one of role `target`.
        settings: `margins` names guards: `out_of_domain` is the margin of every set of role `guard`; a
            figure becomes a guard on every target set.

    Raises:
        RefusedError: no target set, or a margin names a figure that no target set has.
    """
    if not any(s.role == "target" for s in sets):
        raise RefusedError("no set has the role target, so nothing can decide")
    found: list[Comparison] = []
    for item in sets:
        found.append(_answers(item, settings))
        found += [c for figure in FIGURES if (c := _figure(item, figure, settings)) is not None]
    for figure in settings.margins:
        if figure in FIGURES and not any(c.role == "guard" and c.name.endswith(f".{figure}") for c in found):
            raise RefusedError(f"a margin is given for {figure}, but no target set has that figure")
    found = rules.adjust(found)
    verdict, reasons = rules.decide(found, settings.alpha)
    return Decision(verdict, reasons, {c.name: c for c in found})


def _answers(item: JudgedSet, settings: Settings) -> Comparison:
    """Right and wrong answers of one set."""
    old, new = ([float(p[i].correct) for p in item.pairs] for i in (0, 1))
    margin = settings.margins.get("out_of_domain", rules.DEFAULT_MARGIN)
    return _compare(item, item.name, old, new, settings, role=item.role, margin=margin)


def _figure(item: JudgedSet, figure: str, settings: Settings) -> Comparison | None:
    """One figure of one set; None where the records do not have it."""
    role: Literal["guard", "report"] = "guard" if figure in settings.margins and item.role == "target" else "report"
    margin = settings.margins.get(figure, rules.DEFAULT_MARGIN)
    name = f"{item.name}.{figure}"
    if figure == "length":
        return _length(item, name, settings, role, margin)
    old, new = ([_flag(p[i], figure) for p in item.pairs] for i in (0, 1))
    if None in old or None in new:
        return None
    sign = -1 if figure == "unreadable" else 1
    return _compare(item, name, old, new, settings, role=role, margin=margin, sign=sign)


def _flag(record: EvalRecord, figure: str) -> float | None:
    return float(record.status != "ok") if figure == "unreadable" else record.scores.get(figure)


def _compare(item: JudgedSet, name: str, old: list[Any], new: list[Any], settings: Settings, **rest: Any) -> Comparison:
    sign, clusters = rest.pop("sign", 1), [p[0].cluster for p in item.pairs]
    result = paired.compare(old, new, clusters, samples=settings.samples, seed=settings.seed)
    low, high = result.ci95
    discordant = (result.gained + result.lost) / result.n
    if result.test == "mcnemar_exact":
        visible = power.visible_difference(result.n, discordant, alpha=settings.alpha)
    else:
        differences = [b - a for a, b in zip(old, new, strict=True)]
        visible = power.visible_mean_difference(differences, clusters, alpha=settings.alpha)
    return Comparison(
        name=name,
        n=result.n,
        champion=result.champion,
        challenger=result.challenger,
        gained=result.gained if sign > 0 else result.lost,
        lost=result.lost if sign > 0 else result.gained,
        p=result.p,
        ci95=result.ci95,
        test=result.test,
        visible=visible,
        change=sign * result.difference,
        lowest=low if sign > 0 else -high,
        discordant=discordant,
        **rest,
    )


def _length(
    item: JudgedSet, name: str, settings: Settings, role: Literal["guard", "report"], margin: float
) -> Comparison | None:
    """Relative change of the mean length; growth and shrinking alike move away from 0."""
    old, new = ([float(len(p[i].completion)) for p in item.pairs] for i in (0, 1))
    mean = sum(old) / len(old)
    if mean == 0:
        return None
    clusters = [p[0].cluster for p in item.pairs]
    relative = paired.compare(
        [v / mean for v in old], [v / mean for v in new], clusters, samples=settings.samples, seed=settings.seed
    )
    differences = [(b - a) / mean for a, b in zip(old, new, strict=True)]
    return Comparison(
        name=name,
        role=role,
        n=relative.n,
        champion=mean,
        challenger=mean * relative.challenger,
        gained=relative.gained,
        lost=relative.lost,
        p=relative.p,
        ci95=relative.ci95,
        test=relative.test,
        visible=power.visible_mean_difference(differences, clusters, alpha=settings.alpha),
        change=-abs(relative.difference),
        lowest=-max(abs(v) for v in relative.ci95),
        margin=margin,
        unit="length",
        discordant=(relative.gained + relative.lost) / relative.n,
    )
