"""Prefect task around the stage `train`: tried again after a crash, from the last complete checkpoint. No logic."""

from prefect import task

from tasks._options import COMPUTE
from tasks._stage import run_stage
from tasks._workspace import Workspace


@task(name="train", task_run_name="train", **COMPUTE)
def train_task(place: Workspace) -> None:
    """Improve the warm start with GRPO."""
    run_stage("train", place)
