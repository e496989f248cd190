"""Prefect task around the stage `sft`: tried again after a crash. No logic."""

from prefect import task

from tasks._options import COMPUTE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="sft", task_run_name="sft", **COMPUTE)
def sft_task(place: Workspace) -> None:
    """Bring the warm start in `place` up to date."""
    run_stage("sft", place)
