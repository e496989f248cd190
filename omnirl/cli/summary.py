"""`omnirl summary`: what the last run did and decided, as text, JSON or a table for the README.

Also what the pipeline's last stage calls, so that a plain `dvc repro` leaves a summary too. Asks the
registry who holds the title; the report itself does not know.
"""

import json
import os
from pathlib import Path
from typing import Any

import typer

from omnirl.config import Params, load_params
from omnirl.errors import DataError
from omnirl.io import runlog
from omnirl.schema import layout


def add_to(app: typer.Typer) -> None:
    """Add the command `summary`."""
    app.command("summary")(summary_command)


def summary_command(
    as_json: bool = typer.Option(False, "--json", help="Print reports/summary.json instead of text."),
    markdown: bool = typer.Option(False, "--markdown", help="Print the results table for the README."),
    run_id: str = typer.Option("", "--run-id", help="Run to summarise; default: the newest below runs/."),
) -> None:
    """Write reports/summary.json and the run's page, and say what came out.

    Example: omnirl summary --json
    """
    from omnirl.report import message, summary
    from omnirl.report.inputs import read_evidence

    root = Path.cwd()
    params = load_params(root / "params.yaml")
    if markdown:
        typer.echo(message.markdown_table(read_evidence(params, root)))
        return
    identifier = checked_run_id(root, run_id) or newest_run(root)
    written = summary.write(params, root, champion=champion_of(params, root), run_id=identifier)
    text = json.dumps(written, indent=2, ensure_ascii=False) if as_json else message.as_text(params, root, written)
    typer.echo(text)


def write_after_report(params: Params, root: Path, *, seconds: float = 0.0) -> dict[str, Any]:
    """Write the summary from inside the stage `report`, which is still running: it counts as ran.

    Args:
        params: the run's parameters.
        root: the checkout.
        seconds: what the stage `report` took so far.
    """
    from omnirl.report import summary

    identifier = runlog.run_id()
    stages = {**runlog.stages_run(root, identifier), "report": seconds}
    champion = champion_of(params, root)
    return summary.write(params, root, champion=champion, run_id=identifier, stages=stages)


def champion_of(params: Params, root: Path) -> str | None:
    """`NAME@vX.Y.Z` that holds the title of `register.name`, None when there is none."""
    from omnirl.registry.store import Registry

    holder = Registry(root).champion(params.register_.name)
    return holder.label if holder else None


def checked_run_id(root: Path, given: str) -> str:
    """`given` when it names a run below `runs/`; empty stays empty.

    Raises:
        DataError: there is no such run.
    """
    if given and not (given == Path(given).name and (root / layout.RUNS / given).is_dir()):
        raise DataError(f"{layout.RUNS}/{given}: no such run; `ls {layout.RUNS}` shows those that exist")
    return given


def newest_run(root: Path) -> str:
    """`OMNIRL_RUN_ID`, else the run whose stage log is newest, else the id of this process."""
    if os.environ.get("OMNIRL_RUN_ID"):
        return runlog.run_id()
    logs = sorted((root / layout.RUNS).glob("*/stages.jsonl"), key=lambda p: (p.stat().st_mtime_ns, p.parent.name))
    return logs[-1].parent.name if logs else runlog.run_id()
