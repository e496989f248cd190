"""Resumable checkpoints: published whole or not at all, verified before use, private to one recipe.

A checkpoint is a folder `step-NNNNNN` below `.omnirl/scratch/<stage>-<fingerprint>/`. It gets its
name by a rename after every file was flushed to disk; its `MANIFEST.json` lists size and sha256 of
each file. The fingerprint covers everything that shapes the result (parameters, data, base model,
code), so a changed recipe never goes on from another one's weights. Knows nothing of torch.
"""

import importlib.metadata
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import omnirl
from omnirl.errors import DataError
from omnirl.io import files
from omnirl.schema import layout

logger = logging.getLogger(__name__)

MANIFEST = "MANIFEST.json"
KEEP = 2
"""Published checkpoints that are kept; older ones are deleted."""
_CODE = ("train", "models", "rewards", "parsing", "geometry", "schema", "recorder")
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
_NAME = re.compile(r"step-(\d{6,})")


def fingerprint(stage: str, sections: Mapping[str, Any], data: Sequence[Path], base_digest: str) -> str:
    """Hex sha256 of all that decides what training leads to.

    Args:
        stage: `sft` or `train`.
        sections: parameter sections the stage reads, as plain values.
        data: files of training rows; their content counts, not their place.
        base_digest: digest of the model that training starts from.

    Raises:
        DataError: one of the files is missing.
    """
    for path in data:
        if not path.is_file():
            raise DataError(f"{path}: no such file; run validate first")
    package = Path(omnirl.__file__).parent
    code = [path for part in _CODE for path in sorted((package / part).rglob("*.py"))]
    content = {
        "stage": stage,
        "sections": sections,
        "data": {path.name: files.sha256_file(path) for path in data},
        "base": base_digest,
        "code": {path.relative_to(package).as_posix(): files.sha256_file(path) for path in code},
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    return files.sha256_bytes(json.dumps(content, sort_keys=True).encode())


def scratch_folder(root: Path, stage: str, print_: str) -> Path:
    """Where the checkpoints of the recipe with fingerprint `print_` stand."""
    return root / layout.STATE / "scratch" / f"{stage}-{print_[:16]}"


def publish(work: Path, scratch: Path, step: int) -> Path:
    """Turn the finished folder `work` into the checkpoint of `step`, all or nothing, and drop the oldest ones.

    Raises:
        OmniRLError: the disk is full; older checkpoints are untouched.
    """
    target = scratch / f"step-{step:06d}"
    listed = {
        path.relative_to(work).as_posix(): {"size": path.stat().st_size, "sha256": files.sha256_file(path)}
        for path in sorted(work.rglob("*"))
        if path.is_file()
    }
    with files.atomic_folder(target) as place:
        for item in sorted(work.iterdir()):
            item.rename(place / item.name)
        files.write_json(place / MANIFEST, {"step": step, "files": listed})
    shutil.rmtree(work)
    for old in published(scratch)[KEEP:]:
        shutil.rmtree(old)
    return target


def published(scratch: Path) -> list[Path]:
    """Checkpoint folders in `scratch`, newest first, complete or not."""
    found = [p for p in scratch.glob("step-*") if p.is_dir() and _NAME.fullmatch(p.name)] if scratch.is_dir() else []
    return sorted(found, key=lambda p: int(p.name.removeprefix("step-")), reverse=True)


def newest_complete(scratch: Path) -> Path | None:
    """The newest checkpoint whose every file is as its manifest says; damaged ones are skipped with a log line."""
    for folder in published(scratch):
        problem = find_problem(folder)
        if problem is None:
            return folder
        logger.warning("checkpoint %s is not used: %s", folder.name, problem)
    return None


def find_problem(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words; None when it is complete and unchanged."""
    try:
        listed = files.read_json(folder / MANIFEST)["files"]
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        if missing := sorted(set(listed) - names):
            return f"{missing[0]} is missing"
        if extra := sorted(names - set(listed)):
            return f"{extra[0]} is not in its manifest"
        for name, entry in listed.items():
            if (folder / name).stat().st_size != entry["size"] or files.sha256_file(folder / name) != entry["sha256"]:
                return f"{name} has changed since it was written"
    except (DataError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def sweep(scratch: Path, work: Path) -> None:
    """Delete what a killed trainer left half-done: the unpublished working folder and temporaries."""
    files.sweep_temporaries(scratch)
    for leftover in (work, *scratch.glob(".*.old")):
        shutil.rmtree(leftover, ignore_errors=True)
