"""Prefect task around the stage `evaluate`: tried again after a crash. No logic."""

from prefect import task

from tasks._options import COMPUTE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="evaluate", task_run_name="evaluate", **COMPUTE)
def evaluate_task(place: Workspace) -> None:
    """Let champion and challenger answer the same questions."""
    run_stage("evaluate", place)
