"""Prefect task around the stage `register`: no second try. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="register", task_run_name="register", **PURE)
def register_task(place: Workspace) -> None:
    """Record the candidate; the title moves when the verdict allows it."""
    run_stage("register", place)
