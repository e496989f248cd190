"""What is printed at the end of a run, and the results table of the README. Plain text, no terminal codes."""

from pathlib import Path
from typing import Any

from omnirl.config import Params
from omnirl.report import tables, words
from omnirl.report.inputs import SIDES, Evidence
from omnirl.report.page import clean
from omnirl.schema import layout

MAX_REASONS = 6
"""Reasons printed; the page has them all, the deciding ones come first."""


def as_text(params: Params, root: Path, summary: dict[str, Any]) -> str:
    """The end-of-run message: verdict, table, stages, version, page, what to do next."""
    word, meaning = words.VERDICTS.get(summary["verdict"], (str(summary["verdict"]), ""))
    ran = {name: s["seconds"] for name, s in summary["stages"].items() if s["status"] == "ran"}
    total = words.duration(sum(ran.values()))
    did = (
        f"{len(ran)} of {len(summary['stages'])} stages ran, {total}"
        if ran
        else "nothing to do, every stage was cached"
    )
    reasons = [f"  - {clean(reason)}" for reason in summary["reasons"]]
    more = [f"  - and {len(reasons) - MAX_REASONS} more on the page"] if len(reasons) > MAX_REASONS else []
    lines = ["", f"Verdict: {word.upper()}. {meaning}", *reasons[:MAX_REASONS], *more, ""]
    lines += [*text_table(summary), ""]
    lines += [
        f"Stages    {did}",
        f"Version   {summary['version'] or 'none recorded'}",
        f"Champion  {summary['champion'] or 'nobody holds the title yet'}",
        f"Set aside {summary['quarantined']} rows (data/quarantine.jsonl says why)",
        f"Page      {summary['page']}, with times: {layout.RUNS}/{summary['run_id']}/page.html",
        "",
        "What next",
        f"  open the page          {(root / summary['page']).resolve().as_uri()}",
        "  look at runs           make ui",
        "  change and retrain     edit params.yaml, then: dvc repro   (only what changed is done again)",
        f"  take a promotion back  omnirl registry rollback {params.register_.name}",
        "  move to a GPU          omnirl preset list, then: omnirl preset use rec-qwen2.5-vl-3b",
    ]
    return "\n".join(lines)


def text_table(summary: dict[str, Any]) -> list[str]:
    """The evaluation as aligned lines."""
    head = ("set", "n", "champion", "challenger", "gained", "lost", "p")
    rows: list[tuple[str, ...]] = [head]
    for name, e in summary["evaluation"].items():
        scores = (words.percent(e["champion"]), words.percent(e["challenger"]))
        rows.append(
            (name, words.number(e["n"]), *scores, words.number(e["gained"]), words.number(e["lost"]), plain_p(e["p"]))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def plain_p(value: float | None) -> str:
    """A p value for terminals: `0.023` or `3e-42`."""
    if value is None:
        return words.MISSING
    return f"{value:.2g}" if value < 0.001 else f"{value:.3f}"


def markdown_table(evidence: Evidence) -> str:
    """The results as a Markdown table, from the reports alone."""
    head = "| set | role | n | champion | challenger | gain (95 % interval), points | gained / lost | p |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for r in tables.results(evidence):
        gain = f"{words.points(r['gain'])} ({words.interval(r['ci95'])})"
        counts = f"{words.number(r['gained'])} / {words.number(r['lost'])}"
        role = words.ROLES.get(r["role"], r["role"] or words.MISSING)
        cells = (r["name"], role, words.number(r["n"]), words.percent(r["champion"]), words.percent(r["challenger"]))
        lines.append("| " + " | ".join((*cells, gain, counts, plain_p(r["p"]))) + " |")
    labels = [(evidence.gate.get(who) or {}).get("label") or words.MISSING for who in SIDES]
    verdict = evidence.gate.get("verdict")
    lines += ["", f"Champion: `{labels[0]}`; challenger: `{labels[1]}`; verdict: **{verdict}**."]
    return "\n".join(lines)
