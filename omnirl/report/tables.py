"""Rows of the page's tables, as plain values: results, every metric, data, red team, lineage, curves.

Takes `Evidence`, returns dicts of numbers and texts; knows nothing of HTML or pictures.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from omnirl.io import files
from omnirl.report.inputs import SIDES, Curve, Evidence
from omnirl.report.words import metric_name, set_name
from omnirl.schema import layout
from omnirl.schema.row import Row

HASH_LIMIT_BYTES = 256 * 1024 * 1024
"""Fetched files without a pinned sha256 are hashed for the page up to this size."""


def results(evidence: Evidence) -> list[dict[str, Any]]:
    """One dict per set; a set that the gate did not compare has scores from the evaluation, but no gain."""
    return [_result(evidence, name) for name in evidence.sets]


def _result(evidence: Evidence, name: str) -> dict[str, Any]:
    judged = (evidence.gate.get("sets") or {}).get(name, {})
    measured = (evidence.evaluation.get("sets") or {}).get(name, {})
    metric = judged.get("metric") or measured.get("metric")
    scores = {who: _first(judged.get(who), (measured.get(who) or {}).get(metric)) for who in SIDES}
    known = bool(judged) and None not in scores.values()
    row: dict[str, Any] = {
        "name": name,
        "title": set_name(name),
        "kind": kind_of(evidence, name),
        "metric": metric,
        "metric_title": metric_name(metric),
        "role": _first(judged.get("role"), measured.get("role")),
        "n": _first(judged.get("n"), measured.get("n")),
        **scores,
        "gain": scores["challenger"] - scores["champion"] if known else None,
    }
    keys = ("gained", "lost", "p", "p_holm", "ci95", "smallest_visible_difference", "test")
    row |= {key: judged.get(key) for key in keys}
    row["effect"] = effect(row, evidence.gate.get("alpha", evidence.params.gate.alpha))
    return row


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def effect(row: dict[str, Any], alpha: float) -> str:
    """`better`, `worse`, `same` (no evidence) or `unknown` for a row of `results`."""
    p = _first(row.get("p_holm"), row.get("p"))
    if p is None or row["gain"] is None:
        return "unknown"
    if p > alpha or row["gain"] == 0:
        return "same"
    return "better" if row["gain"] > 0 else "worse"


def kind_of(evidence: Evidence, name: str) -> str:
    """What a question of the set looks like: `one picture`, `2 pictures` or `text only`; empty when unknown."""
    for uid in evidence.answers.get(name, ({}, {}))[0]:
        if row := evidence.rows.get(uid):
            return _pictures(row)
    return ""


def _pictures(row: Row) -> str:
    return {0: "text only", 1: "one picture"}.get(len(row.images), f"{len(row.images)} pictures")


def every_metric(evidence: Evidence) -> list[dict[str, Any]]:
    """One dict per set and metric, and the share of answers that could not be read."""
    table: list[dict[str, Any]] = []
    for name in evidence.sets:
        measured = (evidence.evaluation.get("sets") or {}).get(name, {})
        champion, challenger = (measured.get(who) or {} for who in SIDES)
        metrics = [*champion, *(m for m in challenger if m not in champion)]
        rows = [{"metric": m, "champion": champion.get(m), "challenger": challenger.get(m)} for m in metrics]
        if name in evidence.answers and "unreadable" not in metrics:
            rates = [_unreadable(list(answers.values())) for answers in evidence.answers[name]]
            rows.append({"metric": "unreadable", "champion": rates[0], "challenger": rates[1]})
        table += [{"set": name, **row} for row in rows]
    return table


def _unreadable(records: Sequence[Any]) -> float:
    return sum(r.status in ("no_answer", "unparsable") for r in records) / len(records)


def datasets(evidence: Evidence) -> list[dict[str, Any]]:
    """One dict per `convert.sources` entry: what it is used for and how many rows are usable."""
    params = evidence.params
    uses: dict[str, list[str]] = {s.name: [] for s in params.convert.sources}
    for stage, names in (("warm start", params.sft.datasets), ("GRPO", params.train.datasets)):
        for name in names:
            uses[name].append(stage)
    for name, chosen in params.evaluate.sets.items():
        uses[chosen.dataset].append(f"evaluation: {set_name(name).lower()}")
    checked = evidence.validation.get("datasets") or {}
    read = evidence.convert.get("sources") or {}
    return [
        {
            "name": s.name,
            "use": ", ".join(uses[s.name]) or "not used",
            "task": s.task,
            "converter": s.converter,
            "rows": _first(checked.get(s.name, {}).get("rows"), read.get(s.name, {}).get("rows")),
            "valid": checked.get(s.name, {}).get("valid"),
            "quarantined": _first(checked.get(s.name, {}).get("quarantined"), read.get(s.name, {}).get("quarantined")),
        }
        for s in params.convert.sources
    ]


def quarantine_reasons(evidence: Evidence) -> list[tuple[str, int]]:
    """(code, rows), most frequent first."""
    counts = evidence.validation.get("reasons") or Counter(str(e.get("code")) for e in evidence.quarantine)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def further_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """What else the gate compared on each set (format, length, ...), with role and p."""
    table = []
    for name in evidence.sets:
        figures = (evidence.gate.get("sets") or {}).get(name, {}).get("figures") or {}
        table += [{"set": name, "figure": figure, **numbers} for figure, numbers in figures.items()]
    return table


def fingerprints(evidence: Evidence) -> list[dict[str, Any]]:
    """Fingerprint of each set for both models; one value for both where only one is written."""
    shared = evidence.evaluation.get("fingerprint") or {}
    models = evidence.evaluation.get("models") or {}
    prints = {who: (models.get(who) or {}).get("fingerprint") or shared for who in SIDES}
    names = dict.fromkeys([*prints["champion"], *prints["challenger"]])
    return [{"set": name, **{who: prints[who].get(name) for who in SIDES}} for name in names]


def redteam(evidence: Evidence) -> dict[str, Any] | None:
    """Two attack x column matrices: `sums` (what decides, by data set) and `alone` (each reward for itself)."""
    report = evidence.redteam
    total = report.get("weighted_sum") or {}
    if not total and not report.get("rewards"):
        return None
    margin = report.get("margin", evidence.params.redteam.margin)
    sums = {**(total.get("datasets") or {}), **({"all together": total} if total else {})}
    rewards = report.get("rewards") or {}
    return {
        "sums": _matrix(sums, margin),
        "alone": _matrix(rewards, margin),
        "accepted": [title for title, value in rewards.items() if value.get("accepted")],
        "margin": margin,
        "passed": report.get("passed"),
        "reasons": report.get("reasons") or [],
        "rows": report.get("rows"),
    }


def _matrix(columns: dict[str, dict[str, Any]], margin: float) -> dict[str, Any]:
    """`{"columns": [{"title", "honest"}], "attacks": [{"name", "cells": [{"value", "pays"}]}]}`."""
    names = dict.fromkeys(name for column in columns.values() for name in column.get("attacks") or {})
    return {
        "columns": [{"title": title, "honest": column.get("honest")} for title, column in columns.items()],
        "attacks": [{"name": n, "cells": [_cell(c, n, margin) for c in columns.values()]} for n in names],
    }


def _cell(column: dict[str, Any], attack: str, margin: float) -> dict[str, Any]:
    value, honest = (column.get("attacks") or {}).get(attack), column.get("honest")
    pays = value is not None and honest is not None and value > honest + margin
    return {"value": value, "pays": pays}


def curve_summary(curve: Curve) -> list[dict[str, Any]]:
    """First and last values (means of up to five steps) of each column but `step`, for readers of text."""
    table = []
    for name, values in curve.items():
        numbers = [v for v in values if v is not None]
        if name == "step" or not numbers:
            continue
        width = max(1, min(5, len(numbers) // 2))
        first, last = sum(numbers[:width]) / width, sum(numbers[-width:]) / width
        table.append({"name": name, "first": first, "last": last, "low": min(numbers), "high": max(numbers)})
    return table


def fetched_files(evidence: Evidence) -> list[dict[str, Any]]:
    """One dict per fetched file: repository, revision, path, sha256 (None when too large to hash here)."""
    table = []
    for repo in evidence.params.fetch.datasets:
        for item in repo.files:
            path = evidence.root / layout.RAW / repo.to / item.path
            pinned = item.sha256 if item.sha256 not in (None, "demo") else None
            small = path.is_file() and path.stat().st_size <= HASH_LIMIT_BYTES
            digest = pinned or (files.sha256_file(path) if small else None)
            table.append({"repo": repo.repo, "revision": repo.revision, "path": item.path, "sha256": digest})
    return table


def lineage(evidence: Evidence) -> list[dict[str, Any]]:
    """Models from the base to the version, each with its digest and how it was made."""
    params, gate = evidence.params, evidence.gate
    base = params.fetch.model
    train, sft, version = evidence.train, evidence.sft, evidence.registration
    champion, challenger = (gate.get(who) or {} for who in SIDES)
    steps = [
        ("Base model", f"{base.repo} at revision {base.revision}", sft.get("base_digest")),
        ("Warm start", f"SFT, {params.sft.steps} steps, seed {params.sft.seed}", sft.get("model_digest")),
        ("GRPO", f"{params.train.steps} steps, seed {params.train.seed}", train.get("model_digest")),
        ("Champion", champion.get("label"), champion.get("digest")),
        ("Challenger", challenger.get("label"), challenger.get("digest")),
        ("Version", version_label(version), version.get("digest")),
    ]
    return [{"what": what, "text": text, "digest": digest} for what, text, digest in steps if text or digest]


def version_label(registration: dict[str, Any]) -> str | None:
    """`NAME@vX.Y.Z` of what was registered, None when nothing was."""
    version = registration.get("version")
    if not version:
        return None
    return version if "@" in version else f"{registration.get('name')}@{version}"
