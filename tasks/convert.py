"""Prefect task around the stage `convert`: no second try. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="convert", task_run_name="convert", **PURE)
def convert_task(place: Workspace) -> None:
    """Bring the canonical rows in `place` up to date."""
    run_stage("convert", place)
