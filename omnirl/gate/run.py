"""Stage `gate`: reads what `evaluate` left and writes the verdict; exits 0 for every verdict.

Refuses, with the reason in the report, when the two models were not asked the same questions in the
same way. Moves no title: that is the registry's business.
"""

import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from omnirl.config import Params
from omnirl.errors import DataError, RefusedError
from omnirl.gate.decide import Decision, JudgedSet, Pair, Settings, judge, pair
from omnirl.gate.rules import Comparison
from omnirl.io import files
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord

logger = logging.getLogger(__name__)

MAX_UIDS = 50
"""So many gained and lost questions of each set are named in the report."""


def run(params: Params, root: Path) -> dict[str, Any]:
    """Judge challenger against champion and write `reports/gate.json`.

    Returns:
        The content of the report.

    Raises:
        DataError: a report or record file of `evaluate` is missing or damaged.
    """
    evaluation = _read(root / layout.EVAL_REPORT)
    settings = Settings(params.gate.alpha, params.gate.bootstrap_samples, params.gate.seed, dict(params.gate.margins))
    try:
        _same_footing(params, evaluation)
        sets = [_judged(params, root, name) for name in params.evaluate.sets]
        decision = judge(sets, settings)
    except RefusedError as error:
        sets, decision = [], Decision("refuse", [str(error)], {})
    report = {
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "alpha": settings.alpha,
        "first_minimum_met": _first_minimum(decision, params.gate.first_minimum),
        **{who: _model(evaluation, who) for who in ("champion", "challenger")},
        "sets": {s.name: _set(s, decision, evaluation) for s in sets if decision.comparisons},
    }
    files.write_json(root / layout.GATE_REPORT, report)
    logger.info("gate: %s. %s", decision.verdict, " ".join(decision.reasons))
    return report


def _read(path: Path) -> dict[str, Any]:
    content = files.read_json(path)
    if not isinstance(content, dict) or not {"models", "sets", "fingerprint"} <= content.keys():
        raise DataError(f"{path}: not a report of the stage evaluate; run it again")
    return content


def _same_footing(params: Params, evaluation: dict[str, Any]) -> None:
    """Refuse unless both models have the same fingerprint on every configured set."""
    prints = {who: evaluation["models"][who].get("fingerprint") for who in ("champion", "challenger")}
    for name in params.evaluate.sets:
        if name not in evaluation["sets"]:
            raise RefusedError(f"{name}: the set is configured but was not evaluated; run evaluate again")
        old, new = ((prints[who] or {}).get(name) for who in ("champion", "challenger"))
        if old is None or old != new:
            raise RefusedError(
                f"{name}: champion and challenger were not evaluated in the same way "
                f"(fingerprints {str(old)[:12]} and {str(new)[:12]})"
            )


def _judged(params: Params, root: Path, name: str) -> JudgedSet:
    records = {who: _records(root, who, name) for who in ("champion", "challenger")}
    return JudgedSet(name, params.evaluate.sets[name].role, pair(name, **records))


def _records(root: Path, who: str, name: str) -> list[EvalRecord]:
    path = root / layout.EVAL_RECORDS / who / f"{name}.jsonl"
    if not path.is_file():
        raise RefusedError(f"{name}: the records of the {who} are missing; run evaluate again")
    try:
        return [EvalRecord.model_validate(item) for item in files.read_jsonl(path)]
    except ValidationError as error:
        raise DataError(f"{path}: not evaluation records ({error.errors()[0]['msg']}); run evaluate again") from None


def _first_minimum(decision: Decision, minimum: float) -> bool:
    """Whether every target set reaches the bar of a name's first title."""
    targets = [c for c in decision.comparisons.values() if c.role == "target"]
    return bool(targets) and all(c.challenger >= minimum for c in targets)


def _model(evaluation: dict[str, Any], who: str) -> dict[str, Any]:
    return {key: evaluation["models"][who][key] for key in ("label", "digest")}


def _set(item: JudgedSet, decision: Decision, evaluation: dict[str, Any]) -> dict[str, Any]:
    main = decision.comparisons[item.name]
    prefix = f"{item.name}."
    extra = [(n.removeprefix(prefix), c) for n, c in decision.comparisons.items() if n.startswith(prefix)]
    return {
        "role": item.role,
        "metric": evaluation["sets"][item.name]["metric"],
        **numbers(main),
        "gained_uids": _uids(item.pairs, won=True),
        "lost_uids": _uids(item.pairs, won=False),
        "figures": {name: {"role": c.role, **numbers(c)} for name, c in extra},
    }


def numbers(c: Comparison) -> dict[str, Any]:
    """The numbers of one comparison, as they stand in every report."""
    return {
        "n": c.n,
        "champion": c.champion,
        "challenger": c.challenger,
        "gained": c.gained,
        "lost": c.lost,
        "p": c.p,
        "p_holm": c.p_holm,
        "ci95": list(c.ci95),
        "smallest_visible_difference": c.visible,
        "test": c.test,
    }


def _uids(pairs: list[Pair], *, won: bool) -> list[str]:
    """The first `MAX_UIDS` questions that only the challenger (`won`) or only the champion got right."""
    return [old.uid for old, new in pairs if (new.correct, old.correct) == (won, not won)][:MAX_UIDS]
