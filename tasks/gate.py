"""Prefect task around the stage `gate`: no second try; the verdict stands on the run's page. No logic."""

from prefect import task

from tasks._artifacts import show_verdict
from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="gate", task_run_name="gate", **PURE)
def gate_task(place: Workspace) -> None:
    """Compare question by question; every verdict is a success of the task."""
    run_stage("gate", place)
    show_verdict(place)
