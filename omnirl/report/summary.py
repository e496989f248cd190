"""`reports/summary.json` and `runs/<run id>/page.html`: what is left at the end of a run.

Written by whatever ran the pipeline, never by a DVC stage as an output: both hold times and the run
id. The champion is handed in, because the registry is another stage's business.
"""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from omnirl import STAGES
from omnirl.config import Params
from omnirl.io import files, runlog
from omnirl.report import page, tables
from omnirl.report.inputs import Evidence, read_evidence
from omnirl.report.words import duration
from omnirl.schema import layout

PACKAGES = (
    "omnirl",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "prefect",
    "dvc",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "matplotlib",
    "nltk",
)


def build(evidence: Evidence, *, run_id: str, champion: str | None, stages: dict[str, float]) -> dict[str, Any]:
    """The content of `reports/summary.json`.

    Args:
        evidence: the reports of the run.
        run_id: its id.
        champion: `NAME@vX.Y.Z` that holds the title now, None when there is none.
        stages: seconds of each stage that ran; the others were cached.
    """
    keys = ("n", "metric", "champion", "challenger", "gained", "lost", "p", "ci95")
    return {
        "run_id": run_id,
        "preset": evidence.params.preset,
        "stages": _stages(stages),
        "evaluation": {row["name"]: {key: row[key] for key in keys} for row in tables.results(evidence)},
        "verdict": evidence.gate.get("verdict"),
        "reasons": [page.clean(str(reason)) for reason in evidence.gate.get("reasons") or []],
        "version": tables.version_label(evidence.registration),
        "champion": champion,
        "quarantined": int(evidence.validation.get("quarantined") or 0),
        "page": layout.PAGE,
    }


def _stages(stages: dict[str, float]) -> dict[str, dict[str, Any]]:
    return {
        name: {"status": "ran" if name in stages else "cached", "seconds": round(stages.get(name, 0.0), 3)}
        for name in STAGES
    }


def write(
    params: Params, root: Path, *, champion: str | None, run_id: str, stages: dict[str, float] | None = None
) -> dict[str, Any]:
    """Write `reports/summary.json` and `runs/<run id>/page.html` below `root`; returns the summary.

    Args:
        params: the run's parameters.
        root: the checkout.
        champion: version that holds the title after this run, or None.
        run_id: the run to summarise.
        stages: seconds of each stage that ran; None = as noted in `runs/<run id>/stages.jsonl`.

    Raises:
        DataError: the pipeline did not get as far as the gate.
        OmniRLError: a file cannot be written.
    """
    seconds = runlog.stages_run(root, run_id) if stages is None else stages
    evidence = read_evidence(params, root)
    summary = build(evidence, run_id=run_id, champion=champion, stages=seconds)
    run = describe_run(root, summary)
    files.write_text(root / layout.RUNS / run_id / "page.html", page.render(evidence, run))
    files.write_json(root / layout.SUMMARY, summary)
    return summary


def describe_run(root: Path, summary: dict[str, Any]) -> page.Run:
    """Times, machine and title outcome of the run that `summary` is about."""
    identifier = summary["run_id"]
    folder = root / layout.RUNS / identifier
    outcome_file = folder / "registration.json"
    outcome = files.read_json(outcome_file) if outcome_file.is_file() else {}
    log = folder / "stages.jsonl"
    seconds = sum(s["seconds"] for s in summary["stages"].values())
    return page.Run(
        id=identifier,
        stages=summary["stages"],
        started=_started(log, summary),
        hardware=_hardware(),
        packages=_packages(),
        title=str(outcome.get("title") or "none"),
        message=str(outcome.get("message") or ""),
        champion=summary["champion"],
        cost=f"at most {duration(seconds * _cores())} of processor time on {_cores()} cores" if seconds else "",
    )


def _started(log: Path, summary: dict[str, Any]) -> str:
    """UTC start of the run: when its stage log got its last line, less the seconds of all stages."""
    if not log.is_file():
        return ""
    start = log.stat().st_mtime - sum(s["seconds"] for s in summary["stages"].values())
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(start))


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _hardware() -> tuple[str, ...]:
    memory = psutil.virtual_memory().total / 2**30
    return (f"{platform.system()} on {platform.machine()}", f"{_cores()} cores", f"{memory:.1f} GiB memory")


def _packages() -> tuple[str, ...]:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return tuple(found)
