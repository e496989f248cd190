"""The files of a version's commit: what was compared, with what, and where DVC keeps the bytes.

Everything is text and a function of the checkout: no times, run ids, hosts or absolute paths. Knows
the layout of the checkout; writes nothing and calls no program.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from omnirl.errors import RegistryError
from omnirl.io import files
from omnirl.registry import card
from omnirl.registry.records import CARD_FILE, RECORD_FILE, Lineage, Record, Reference
from omnirl.schema import layout

EVIDENCE = (layout.EVAL_METRICS, layout.GATE_REPORT, layout.EVAL_REPORT)
OPTIONAL_EVIDENCE = (layout.VALIDATE_REPORT, layout.REDTEAM_REPORT, layout.SFT_REPORT, layout.TRAIN_REPORT)
FROM_CHECKOUT = ("dvc.lock", "params.yaml")
"""Taken as they lie in the checkout, committed or not."""


@dataclass(frozen=True)
class Candidate:
    """A model that may become a version."""

    name: str
    digest: str
    path: Literal["models/grpo", "models/sft"]
    verdict: Literal["promote", "hold", "reject"] | None
    compared_with: Reference | None
    preset: str
    dvc: str | None
    """DVC's hash of `path`, see `dvc_hash`."""
    run: str = ""
    """Run id, for the commit message only."""
    reports: dict[str, str] = field(default_factory=dict)
    """File name -> text, from `read_reports`."""

    def record(self, version: str, lineage: Lineage) -> Record:
        """This candidate as `version`."""
        return Record(
            name=self.name,
            version=version,
            digest=self.digest,
            verdict=self.verdict,
            path=self.path,
            dvc=self.dvc,
            compared_with=self.compared_with,
            lineage=lineage,
        )


def read_reports(root: Path) -> dict[str, str]:
    """Texts of the reports that a version keeps, by file name.

    Raises:
        DataError: one of `EVIDENCE` is missing.
    """
    wanted = [root / p for p in EVIDENCE] + [root / p for p in OPTIONAL_EVIDENCE if (root / p).is_file()]
    return {path.name: _text(path) for path in wanted}


def top_level(root: Path, candidate: Candidate, record: Record) -> dict[str, str | None]:
    """Name -> text of every file at the top of the version's tree that differs from the commit it builds on.

    None = the name is left out (a `dvc.lock` that the checkout no longer has).

    Raises:
        RegistryError: `dvc.yaml` cannot take the artifact's entry.
    """
    texts = {name: _text_if_there(root / name) for name in FROM_CHECKOUT}
    texts["dvc.yaml"] = with_artifact(_text_if_there(root / "dvc.yaml") or "", candidate.name, candidate.path)
    texts[RECORD_FILE] = json.dumps(record.model_dump(), indent=2) + "\n"
    reports = {name: files.parse_json(text.encode(), where=name) for name, text in candidate.reports.items()}
    texts[CARD_FILE] = card.write(record, reports)
    return texts


def with_artifact(text: str, name: str, path: str) -> str:
    """The text of a `dvc.yaml` whose `artifacts:` entry `name` is the model at `path`; the rest is left as it is.

    Raises:
        RegistryError: the result would not say what it should.
    """
    data = files.parse_yaml(text, where="dvc.yaml") or {}
    artifacts = data.get("artifacts") or {}
    if artifacts.get(name, {}).get("path") == path:
        return text
    entry = {**artifacts.get(name, {}), "path": path, "type": "model"}
    entry.pop("desc", None)  # it describes another model
    wanted = {**artifacts, name: entry}
    block = yaml.safe_dump({"artifacts": wanted}, sort_keys=False, allow_unicode=True, width=120)
    kept = _without_block(text, "artifacts").rstrip("\n")
    new = f"{kept}\n\n{block}" if kept else block
    if files.parse_yaml(new, where="dvc.yaml") != {**data, "artifacts": wanted}:
        raise RegistryError("dvc.yaml: its `artifacts` cannot be edited; write them as a block, one name per line")
    return new


def _without_block(text: str, key: str) -> str:
    """`text` without the top-level block `key`; comments that start in column 0 stay."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        comment = line.startswith("#")
        if line.strip() and not line.startswith(" ") and not comment:
            inside = line.startswith(f"{key}:")
        if comment or not inside:
            kept.append(line)
    return "".join(kept)


def dvc_hash(root: Path, path: str) -> str | None:
    """DVC's hash of the folder `path` in `dvc.lock`; None when `dvc.lock` does not know it.

    Raises:
        RegistryError: `dvc.lock` records other bytes than lie there, so a version would lead to another model.
    """
    if not (root / "dvc.lock").is_file():
        return None
    lock = files.read_yaml(root / "dvc.lock")
    found = [o.get("md5") for stage in _stages(lock) for o in stage.get("outs") or [] if o.get("path") == path]
    if not found or not found[0]:
        return None
    if found[0] != folder_md5(root / path):
        raise RegistryError(
            f"{path}: not the model that dvc.lock records, so a version could not be fetched again;"
            " bring it up to date with `dvc repro register`"
        )
    return str(found[0])


def _stages(lock: Any) -> list[dict[str, Any]]:
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return [s for s in stages.values() if isinstance(s, dict)] if isinstance(stages, dict) else []


def folder_md5(folder: Path) -> str:
    """The hash DVC gives a folder: md5 over the JSON list of its files' md5 and relative paths, plus `.dir`."""
    listing = []
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            listing.append({"md5": digest, "relpath": path.relative_to(folder).as_posix()})
    text = json.dumps(sorted(listing, key=lambda e: e["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _text_if_there(path: Path) -> str | None:
    return _text(path) if path.is_file() else None


def _text(path: Path) -> str:
    return files.read_bytes(path).decode(errors="replace")
