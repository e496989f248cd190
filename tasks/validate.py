"""Prefect task around the stage `validate`: no second try. No logic."""

from prefect import task

from tasks._options import PURE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="validate", task_run_name="validate", **PURE)
def validate_task(place: Workspace) -> None:
    """Check every row in `place` against the data contract."""
    run_stage("validate", place)
