"""Raw data in, verdict out: the ten stages of `dvc.yaml`, in order.

A stage that is up to date costs a second (`dvc repro` says so); `dvc repro` alone does the same
job without this flow. No paths, no numbers, no conditions here.
"""

from prefect import flow
from prefect.runtime import flow_run

from tasks._summary import summary_task
from tasks._workspace import Kind, open_workspace
from tasks.convert import convert_task
from tasks.evaluate import evaluate_task
from tasks.fetch import fetch_task
from tasks.gate import gate_task
from tasks.redteam import redteam_task
from tasks.register import register_task
from tasks.report import report_task
from tasks.sft import sft_task
from tasks.train import train_task
from tasks.validate import validate_task


@flow(name="post-training")
def post_training(workspace: Kind = "here") -> None:
    """Every line is a stage; `workspace` says where they work (`here`: this checkout)."""
    with open_workspace(workspace, run_id=str(flow_run.id)) as place:
        fetch_task(place)
        convert_task(place)
        validate_task(place)
        redteam_task(place)
        sft_task(place)
        train_task(place)
        evaluate_task(place)
        gate_task(place)
        register_task(place)
        report_task(place)
        summary_task(place)
