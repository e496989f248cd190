"""Short tables for the run's page, written from a stage's report. No logic of the pipeline."""

from typing import Any

from prefect.artifacts import create_markdown_artifact

from omnirl.io.files import read_json
from omnirl.schema import layout
from tasks._workspace import Workspace


def verdict_markdown(gate: dict[str, Any]) -> str:
    """The verdict of `reports/gate.json`, its reasons and one row per set of questions, as Markdown."""
    lines = [f"# {gate['verdict']}", "", *(f"- {_plain(reason)}" for reason in gate["reasons"]), ""]
    lines += ["| set | role | n | champion | challenger | gained | lost | p |", "|---|---|---|---|---|---|---|---|"]
    for name, its in gate["sets"].items():
        scores = (f"{its['champion']:.3f}", f"{its['challenger']:.3f}")
        cells = (name, its["role"], its["n"], *scores, its["gained"], its["lost"], f"{its['p']:.2g}")
        lines.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def show_verdict(place: Workspace) -> None:
    """Put the verdict on the run's page."""
    gate = read_json(place.path(layout.GATE_REPORT))
    create_markdown_artifact(key="verdict", markdown=verdict_markdown(gate), description=f"Verdict: {gate['verdict']}")


def _plain(value: object) -> str:
    """`value` without characters that mean something in Markdown tables or HTML."""
    return " ".join(str(value).replace("|", "/").replace("<", "(").replace(">", ")").replace("`", "'").split())
