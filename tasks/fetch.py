"""Prefect task around the stage `fetch`: tried again with back-off. No logic."""

from prefect import task

from tasks._options import NETWORK
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="fetch", task_run_name="fetch", **NETWORK)
def fetch_task(place: Workspace) -> None:
    """Bring the pinned data sets and the base model into `place`."""
    run_stage("fetch", place)
