"""Prefect task that ends a run: `omnirl summary` writes what ran, the figures and the verdict. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_command
from tasks._workspace import Workspace


@task(name="summary", task_run_name="summary", **PURE)
def summary_task(place: Workspace) -> None:
    """Write `reports/summary.json` and the run's own page below `runs/`."""
    run_command(["omnirl", "summary"], "the summary", place)
