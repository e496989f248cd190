"""Everything the page is made of, read once: the stages' reports, the answers, the rows they belong to.

Only `reports/gate.json` must be there; whatever else is missing becomes empty, so that a page exists
for every verdict. Knows files and their shapes, nothing of tables, pictures or HTML.
"""

import csv
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from omnirl.config import Params
from omnirl.errors import DataError
from omnirl.io import files
from omnirl.io.rows import read_rows
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Row

Curve = dict[str, list[float | None]]
"""Column name -> values in file order; None where a cell is empty or not a number."""
Answers = dict[str, EvalRecord]
"""uid -> record, in file order."""


@dataclass(frozen=True)
class Evidence:
    """The inputs of one page; reports are the JSON objects as written, `{}` where a file is missing."""

    params: Params
    root: Path
    gate: dict[str, Any]
    evaluation: dict[str, Any] = field(default_factory=dict)
    registration: dict[str, Any] = field(default_factory=dict)
    convert: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    redteam: dict[str, Any] = field(default_factory=dict)
    sft: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    sft_curve: Curve = field(default_factory=dict)
    train_curve: Curve = field(default_factory=dict)

    @cached_property
    def sets(self) -> list[str]:
        """Names of the compared sets, in the order of `evaluate.sets`, then any other the gate judged."""
        judged = self.gate.get("sets") or self.evaluation.get("sets") or {}
        configured = [name for name in self.params.evaluate.sets if name in judged]
        return configured + [name for name in judged if name not in configured]

    @cached_property
    def answers(self) -> dict[str, tuple[Answers, Answers]]:
        """Set -> (champion's, challenger's) answers; sets without both files are left out."""
        found = {}
        for name in self.sets:
            both = tuple(_answers(self.root / layout.EVAL_RECORDS / who / f"{name}.jsonl") for who in SIDES)
            if both[0] and both[1]:
                found[name] = (both[0], both[1])
        return found

    @cached_property
    def rows(self) -> dict[str, Row]:
        """Row by uid, for every row of the evaluated data sets that is on this machine."""
        names = {self.params.evaluate.sets[s].dataset for s in self.sets if s in self.params.evaluate.sets}
        paths = [self.root / layout.VALID / f"{name}.parquet" for name in sorted(names)]
        return {row.uid: row for path in paths if path.is_file() for row in read_rows(path)}

    @cached_property
    def quarantine(self) -> list[dict[str, Any]]:
        """Lines of `data/quarantine.jsonl`; the examples of the validation report where it is missing."""
        path = self.root / layout.QUARANTINE
        return files.read_jsonl(path) if path.is_file() else list(self.validation.get("examples", []))


SIDES = ("champion", "challenger")


def read_evidence(params: Params, root: Path) -> Evidence:
    """Read the reports below `root`.

    Raises:
        DataError: `reports/gate.json` is missing, or a report that is there is not what its stage writes.
    """
    gate = root / layout.GATE_REPORT
    if not gate.is_file():
        raise DataError(f"{layout.GATE_REPORT}: no such file; run `dvc repro gate` first, the page shows its verdict")
    return Evidence(
        params=params,
        root=root,
        gate=_object(gate),
        evaluation=_object(root / layout.EVAL_REPORT),
        registration=_object(root / layout.REGISTRATION),
        convert=_object(root / layout.CONVERT_REPORT),
        validation=_object(root / layout.VALIDATE_REPORT),
        redteam=_object(root / layout.REDTEAM_REPORT),
        sft=_object(root / layout.SFT_REPORT),
        train=_object(root / layout.TRAIN_REPORT),
        sft_curve=read_curve(root / layout.SFT_CURVE),
        train_curve=read_curve(root / layout.TRAIN_CURVE),
    )


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, `{}` when there is no such file."""
    if not path.is_file():
        return {}
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(value).__name__}; run its stage again")
    return value


def _answers(path: Path) -> Answers:
    """Records of one file by uid; empty when there is none."""
    if not path.is_file():
        return {}
    records: Answers = {}
    for number, line in enumerate(files.read_jsonl(path), 1):
        try:
            record = EvalRecord.model_validate(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{path}, record {number}: {where}: {first['msg']}; run `omnirl evaluate` again") from None
        records[record.uid] = record
    return records


def read_curve(path: Path) -> Curve:
    """Columns of a curve file by name, `{}` when there is no such file or no line in it."""
    if not path.is_file():
        return {}
    lines = list(csv.DictReader(io.StringIO(files.read_bytes(path).decode("utf-8", "replace"))))
    return {name: [_number(line.get(name)) for line in lines] for name in (lines[0] if lines else {}) if name}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
