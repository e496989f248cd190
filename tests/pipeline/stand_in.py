"""Stands in for `omnirl` in a checkout's `.venv/bin`: each stage leaves small files at the paths of dvc.yaml.

DVC, Prefect, flow and tasks around it are the real ones. `STAND_IN=validate=sleep;sft=crash` in the
environment makes stages misbehave: `sleep`, `sentence` (exit 2), `crash` (kills itself, once).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from omnirl import STAGES
from omnirl.io import runlog
from omnirl.io.files import read_yaml

GATE = {
    "verdict": "hold",
    "reasons": ["no difference | <b>at all</b>"],
    "sets": {
        "rec": {"role": "target", "n": 8, "champion": 0.5, "challenger": 0.5, "gained": 1, "lost": 1, "p": 1.0},
    },
}
CURVE = "step,loss,reward,accuracy,format,completion_tokens\n1,2.0,0.1,0.0,0.1,9\n2,1.0,0.5,0.4,0.1,8\n"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def misbehave(how: str, stage: str) -> None:
    """Do what the environment asks for."""
    if how == "sleep":
        say(f"{stage} sleeps")
        time.sleep(600)
    if how == "sentence":
        sys.stderr.write("12:00:00 looking\nomnirl: data/raw/x.zip: not a complete zip archive; fetch it again\n")
        sys.exit(2)
    marker = Path(f".omnirl/crashed-{stage}")
    if how == "crash" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def leave_outputs(stage: str) -> None:
    """Write every output of `stage`, the same bytes each time."""
    entry = read_yaml(Path("dvc.yaml"))["stages"][stage]
    for out in [*entry.get("outs", []), *entry.get("metrics", [])]:
        path = Path(out if isinstance(out, str) else next(iter(out)))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(CURVE if path.suffix == ".csv" else json.dumps(GATE))
        else:
            path.mkdir(exist_ok=True)
            (path / "file").write_text(stage)


def main(stage: str) -> None:
    """Play the subcommand `stage`."""
    if stage == "summary":
        ran = runlog.stages_run(Path.cwd(), runlog.run_id())
        stages = {
            name: {"status": "ran" if name in ran else "cached", "seconds": ran.get(name, 0.0)} for name in STAGES
        }
        Path("reports/summary.json").write_text(json.dumps({"run_id": runlog.run_id(), "stages": stages}))
        say("\nVerdict: HOLD")
        return
    for wish in os.environ.get("STAND_IN", "").split(";"):
        name, _, how = wish.partition("=")
        if name == stage:
            misbehave(how, stage)
    say(f"12:00:00 {stage}: 1/1 (100 %)")
    leave_outputs(stage)
    runlog.log_stage(Path.cwd(), stage, 0.5)


main(sys.argv[1])
