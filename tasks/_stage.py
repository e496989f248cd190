"""Bring one stage up to date: `dvc repro --single-item STAGE` in its own process group.

The only place where a task starts something. The output goes line by line to the run's page;
whatever interrupts the caller ends the whole process group. What the stage does, and whether it
has to run at all, is decided elsewhere.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from prefect.logging import get_run_logger

from omnirl.errors import ProcessError
from omnirl.io import processes
from tasks._workspace import Workspace

_TIME = re.compile(r"^\d\d:\d\d:\d\d ")
_NOISE = (
    "To track",
    "To enable",
    "Use `dvc push`",
    "Updating lock",
    "Generating lock",
    "Data and pipelines",
    "\t",
    "> ",
)
"""Lines of DVC that tell nothing about the stage."""
_NO_CAUSE = ("ERROR: failed to reproduce", "Running stage")
_EXIT = re.compile(r"exited with (-?\d+)")


class StageError(ProcessError):
    """The stage ended with a sentence about its input; running it again would end the same way."""


class StageCrash(ProcessError):
    """The stage's process died: killed, out of memory, or an error nobody foresaw."""


def stage_environment(place: Workspace) -> dict[str, str]:
    """What a stage sees beside the cleaned environment: where programs are, the run's id, one thread."""
    folders = (str(place.path(".venv/bin")), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {
        "PATH": os.pathsep.join(folders),
        "OMNIRL_RUN_ID": place.run_id,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or "1",  # the same seed gives the same bytes
        "DVC_NO_ANALYTICS": "1",
    }


def run_stage(stage: str, place: Workspace) -> None:
    """Run `stage` where it is stale; its log goes to the run's page.

    Raises:
        StageError: the stage refused its input; carries the stage's own sentence.
        StageCrash: its process died; carries the last line.
    """
    run_command(["dvc", "repro", "--single-item", stage], f"the stage {stage}", place, leave_out=_is_noise)


def run_command(
    argv: list[str], what: str, place: Workspace, leave_out: Callable[[str], bool] = lambda _line: False
) -> None:
    """Run `argv` in the workspace, log its lines, raise as `run_stage`; `what` names it in errors."""
    logger = get_run_logger()
    lines: list[str] = []

    def forward(line: str) -> None:
        text = _TIME.sub("", line)
        if not leave_out(text):
            lines.append(text)
            logger.info(text)

    code = processes.stream(argv, on_line=forward, cwd=place.root, env=stage_environment(place))
    if code:
        raise _failure(what, code, lines)


def _is_noise(line: str) -> bool:
    return not line.strip() or line.startswith(_NOISE)


def _failure(what: str, code: int, lines: list[str]) -> ProcessError:
    """The error for a non-zero exit: the stage's own last sentence where it left one."""
    own = [line.removeprefix("omnirl: ") for line in lines if line.startswith("omnirl: ")]
    if own:
        return StageError(f"{what} stopped: {own[-1]}")
    inner = _EXIT.findall("\n".join(lines))
    told = [line for line in lines if line.strip() and not line.startswith(_NO_CAUSE)]
    last = " ".join(told[-1].removeprefix("ERROR: ").split()) if told else "it left no message"
    if told and told[-1].startswith("ERROR: ") and not inner:
        return StageError(f"{what} could not be run: {last}")
    return StageCrash(f"{what} crashed ({_ending(int(inner[-1]) if inner else code)}): {last}")


def _ending(code: int) -> str:
    """`exit code 1`, or the signal's name: a shell adds 128 to it, Python negates it."""
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit code {code}"
    return f"{name}; out of memory?" if name == "SIGKILL" else name
