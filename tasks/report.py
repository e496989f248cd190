"""Prefect task around the stage `report`: no second try. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="report", task_run_name="report", **PURE)
def report_task(place: Workspace) -> None:
    """Write the page, whatever the verdict was."""
    run_stage("report", place)
