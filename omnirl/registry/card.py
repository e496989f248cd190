"""A model card from evidence: every number in it stands in a report beside it. No times, no prose about quality.

Knows the shapes of the reports; what is missing in them is left out of the card.
"""

from collections.abc import Mapping
from typing import Any

from omnirl.registry.records import EVIDENCE_FOLDER, RECORD_FILE, TITLE, Record

COLUMNS = ("set", "role", "n", "metric", "champion", "challenger", "gained", "lost", "p", "95 % interval")


def write(record: Record, reports: Mapping[str, Any]) -> str:
    """The card of `record` in Markdown.

    Args:
        record: the version.
        reports: file name (`gate.json`, `train.json`, ...) -> its content.
    """
    gate = reports.get("gate.json", {})
    parts = [_head(record), _verdict(record, gate), _numbers(gate), _training(record, reports), _fetch(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(record: Record) -> str:
    changed = len(record.lineage.uncommitted)
    note = f" with {changed} uncommitted changes (listed in `{RECORD_FILE}`)" if changed else ""
    lines = [
        f"# {record.label}",
        "",
        f"- model: `{record.path}`, sha256 `{record.digest}`",
        f"- preset: {_plain(record.lineage.preset)}",
        f"- code: commit `{record.lineage.commit}`{note}; parameters: `params.yaml`; data and model hashes: `dvc.lock`",
    ]
    if record.dvc is None:
        lines.append("- DVC did not have the model when it was recorded, so it cannot be fetched")
    return "\n".join(lines)


def _verdict(record: Record, gate: Mapping[str, Any]) -> str:
    if record.verdict is None:
        return "## Verdict\n\nNone: this is the warm start that the first candidate was compared with."
    against = f" against {record.compared_with.label}" if record.compared_with else ""
    reasons = [f"- {_plain(reason)}" for reason in gate.get("reasons", [])]
    return "\n".join([f"## Verdict: {record.verdict}{against}", "", *reasons]).rstrip()


def _numbers(gate: Mapping[str, Any]) -> str:
    sets = gate.get("sets", {})
    if not sets:
        return ""
    rows = [_cells(COLUMNS), _cells(["---"] * len(COLUMNS))]
    for name, s in sets.items():
        interval = " to ".join(_number(v) for v in s.get("ci95") or [])
        values = [s.get(key) for key in ("role", "n", "metric", "champion", "challenger", "gained", "lost", "p")]
        rows.append(_cells([name, *map(_number, values), interval]))
    who = "The challenger is the candidate of this run, the champion the model it was compared with."
    return "\n".join(["## Questions, one by one", "", who, "", *rows])


def _training(record: Record, reports: Mapping[str, Any]) -> str:
    lines = []
    for title, name in (("warm start", "sft.json"), ("GRPO", "train.json")):
        report = reports.get(name, {})
        facts = [
            f"{k} {_number(v)}" for k, v in report.items() if isinstance(v, int | float | str) and len(str(v)) < 65
        ]
        if facts and not (record.path == "models/sft" and name == "train.json"):
            lines.append(f"- {title}: {', '.join(facts)}")
    if validation := reports.get("validate.json"):
        counts = [_number(validation.get(key)) for key in ("valid", "quarantined")]
        lines.append(f"- data: {counts[0]} valid rows, {counts[1]} in quarantine")
    if attacks := reports.get("redteam.json"):
        lines.append(f"- rewards under attack: {'passed' if attacks.get('passed') else 'not passed'}")
    return "\n".join(["## Training", "", *lines]) if lines else ""


def _fetch(record: Record) -> str:
    if record.dvc is None:
        return ""
    return "\n".join(
        [
            "## Fetch it",
            "",
            "```bash",
            f"dvc get . {record.path} --rev {record.label} -o model",
            f"dvc artifacts get . {record.name} --stage {TITLE} -o model   # whatever holds the title now",
            "```",
            "",
            f"The reports behind these numbers are in `{EVIDENCE_FOLDER}/`.",
        ]
    )


def _cells(values: Any) -> str:
    return "| " + " | ".join(_plain(v) for v in values) + " |"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _plain(text: Any) -> str:
    """`text` on one line, without what would break a table or start markup."""
    return " ".join(str(text).split()).replace("|", "/").replace("<", "&lt;").replace("`", "'")
