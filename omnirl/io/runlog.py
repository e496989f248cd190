"""`runs/<run id>/`: everything with a time, a host or an id in it. DVC outputs hold none of these.

The run id is `OMNIRL_RUN_ID` (the flow's id) where it is set; else one is made from the process
that started the pipeline, so that all stages of one `dvc repro` share it.
"""

import os
import re
import time
from pathlib import Path

import psutil

from omnirl.io import files
from omnirl.schema import layout


def run_id() -> str:
    """The id of this run: `OMNIRL_RUN_ID`, else `<start time>-<pid>` of the `dvc` above us, else of this process."""
    given = os.environ.get("OMNIRL_RUN_ID", "")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", given):
        return given
    owner = starter() or psutil.Process()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(owner.create_time()))}-{owner.pid}"


def starter() -> psutil.Process | None:
    """The `dvc` command above this process, if one started it."""
    found = None
    for parent in psutil.Process().parents():
        try:
            words = parent.cmdline()[:3]
        except psutil.Error:
            continue
        if any(Path(w).name == "dvc" for w in words):
            found = parent
    return found


def run_folder(root: Path) -> Path:
    """`runs/<run id>` below `root`, made on demand."""
    folder = root / layout.RUNS / run_id()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log_event(root: Path, kind: str, **fields: object) -> None:
    """Append one event with its time to `runs/<run id>/events.jsonl`."""
    files.append_jsonl(run_folder(root) / "events.jsonl", {"time": round(time.time(), 3), "kind": kind, **fields})


def log_stage(root: Path, stage: str, seconds: float) -> None:
    """Note that `stage` ran (not: was cached) in this run."""
    files.append_jsonl(run_folder(root) / "stages.jsonl", {"stage": stage, "seconds": round(seconds, 3)})


def stages_run(root: Path, identifier: str) -> dict[str, float]:
    """Seconds of each stage that ran in the run `identifier`; stages that are not here were cached."""
    path = root / layout.RUNS / identifier / "stages.jsonl"
    return {e["stage"]: e["seconds"] for e in files.read_jsonl(path)} if path.is_file() else {}
