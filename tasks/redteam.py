"""Prefect task around the stage `redteam`: no second try. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="redteam", task_run_name="redteam", **PURE)
def redteam_task(place: Workspace) -> None:
    """Attack the configured rewards; a reward that pays cheating stops the run here."""
    run_stage("redteam", place)
