"""The ten stages as subcommands: read `params.yaml` and the stage's inputs, leave its outputs.

Each writes one line to `runs/<run id>/stages.jsonl`, which is how a run knows what ran and what
was cached. The code of a stage is imported inside its command.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import typer

from omnirl.config import Params, load_params
from omnirl.errors import RegistryError
from omnirl.io import processes, runlog

logger = logging.getLogger(__name__)

HELP = {
    "fetch": "Download the pinned data sets and the base model, checked by sha256.",
    "convert": "Turn the publishers' files into canonical rows.",
    "validate": "Check every row against the data contract; quarantine what cannot be used.",
    "redteam": "Attack the configured rewards on real rows before anyone trains on them.",
    "sft": "Supervised warm start.",
    "train": "Improve the model with GRPO.",
    "evaluate": "Let champion and challenger answer the same questions.",
    "register": "Record the candidate as a version; move the title when the verdict allows it.",
    "report": "Write the page.",
}


def run_stage(name: str, work: Callable[[Params, Path], object]) -> None:
    """Load `params.yaml` of the current folder, do `work`, note the seconds under the run id."""
    if runlog.starter():
        processes.die_with_parent()  # a killed `dvc repro` leaves no trainer behind; by hand, `nohup` still works
    root = Path.cwd()
    params = load_params(root / "params.yaml")
    start = time.monotonic()
    work(params, root)
    runlog.log_stage(root, name, time.monotonic() - start)


def fetch_stage(params: Params, root: Path) -> None:
    """`fetch`; with `fetch.endpoint: demo` the demo's Hub is made where it is missing, and served meanwhile."""
    from omnirl.data import fetch

    if params.fetch.endpoint != "demo":
        fetch.run(params, root)
        return
    from omnirl.demo import hub

    with hub.serve(params, root) as (address, manifest):
        fetch.run(params, root, endpoint=address, manifest=manifest)


def convert_stage(params: Params, root: Path) -> None:
    """`convert`."""
    from omnirl.data import convert

    convert.run(params, root)


def validate_stage(params: Params, root: Path) -> None:
    """`validate`."""
    from omnirl.data import validate

    validate.run(params, root)


def redteam_stage(params: Params, root: Path) -> None:
    """`redteam`."""
    from omnirl.redteam import run

    run.run(params, root)


def sft_stage(params: Params, root: Path) -> None:
    """`sft`."""
    from omnirl.train import sft

    sft.run(params, root)


def train_stage(params: Params, root: Path) -> None:
    """`train`."""
    from omnirl.train import grpo

    grpo.run(params, root)


def evaluate_stage(params: Params, root: Path) -> None:
    """`evaluate`; a registered champion is fetched from the registry first."""
    from omnirl.evaluate import run

    champion = None
    if params.evaluate.champion != "warm-start":
        from omnirl.registry import checkout

        champion = checkout.materialise(root, params.evaluate.champion)
    run.run(params, root, champion=champion)


def gate_stage(params: Params, root: Path) -> None:
    """`gate` as a stage: exits 0 for every verdict."""
    from omnirl.gate import run

    run.run(params, root)


def register_stage(params: Params, root: Path) -> None:
    """`register`."""
    from omnirl.registry import run

    run.run(params, root)


def report_stage(params: Params, root: Path) -> None:
    """`report`; as the last stage it also leaves `reports/summary.json`, so that a plain `dvc repro` has one."""
    from omnirl.cli.summary import write_after_report
    from omnirl.report import run

    start = time.monotonic()
    run.run(params, root)
    try:
        write_after_report(params, root, seconds=time.monotonic() - start)
    except RegistryError as error:
        logger.warning("no reports/summary.json: %s", error)


STAGE_FUNCTIONS: dict[str, Callable[[Params, Path], None]] = {
    "fetch": fetch_stage,
    "convert": convert_stage,
    "validate": validate_stage,
    "redteam": redteam_stage,
    "sft": sft_stage,
    "train": train_stage,
    "evaluate": evaluate_stage,
    "gate": gate_stage,
    "register": register_stage,
    "report": report_stage,
}


def add_to(app: typer.Typer) -> None:
    """Add every stage but `gate`, which has a second form (see `omnirl.cli.judge`)."""
    for name, text in HELP.items():
        app.command(name, help=f"{text}\n\nExample: omnirl {name}")(_command(name))


def _command(name: str) -> Callable[[], None]:
    def command() -> None:
        run_stage(name, STAGE_FUNCTIONS[name])

    return command
