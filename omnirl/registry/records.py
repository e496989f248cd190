"""Names, versions and title events: what they look like as text, and their records. No Git, no files.

A label is `NAME@vX.Y.Z`. Names are a little narrower than tags allow, so that GTO and DVC read them.
"""

import re
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnirl.errors import OmniRLError, RegistryError
from omnirl.io.files import parse_json

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
VERSION = r"v(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})"
TITLE = "champion"
RECORD_FILE = "omnirl-version.json"
CARD_FILE = "model-card.md"
EVIDENCE_FOLDER = "evidence"
"""The reports inside a version's commit: not under `reports/`, where DVC would refuse to write files Git tracks."""

_LABEL = re.compile(f"({NAME})@({VERSION})", re.ASCII)
_EVENT = re.compile(rf"({NAME})#{TITLE}(!?)#([1-9]\d{{0,8}})", re.ASCII)


class Reference(BaseModel):
    """A model by name and content."""

    model_config = ConfigDict(frozen=True)

    label: str
    """`warm-start` or `NAME@vX.Y.Z`."""
    digest: str


class Lineage(BaseModel):
    """Where a version came from; what else it needs stands in `dvc.lock` and `params.yaml` beside it."""

    model_config = ConfigDict(frozen=True)

    commit: str
    """Commit that was checked out."""
    uncommitted: tuple[str, ...]
    """Tracked files that differed from that commit; parameters and the lock file are in the version itself."""
    preset: str


class Record(BaseModel):
    """`omnirl-version.json` of a version's commit: no times, no run ids, no hosts."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """`omnirl.io.files.sha256_tree` of the model folder."""
    verdict: Literal["promote", "hold", "reject"] | None
    """The gate's verdict; None for a warm start recorded as the predecessor of the first candidate."""
    path: Literal["models/grpo", "models/sft"]
    """Where DVC has the model in this commit."""
    dvc: str | None
    """DVC's own hash of that folder in `dvc.lock`; None = DVC does not have it, it cannot be fetched."""
    compared_with: Reference | None
    lineage: Lineage

    @property
    def label(self) -> str:
        """`NAME@vX.Y.Z`."""
        return f"{self.name}@{self.version}"


class Version(NamedTuple):
    """One registered version."""

    name: str
    version: str
    commit: str
    time: int
    """Unix seconds."""
    who: str
    record: Record | None
    """None when the tag was not made by this project or its record does not hold what the tag says."""

    @property
    def label(self) -> str:
        """`NAME@vX.Y.Z`."""
        return f"{self.name}@{self.version}"


class Event(NamedTuple):
    """One change of the title: `NAME#champion#N`."""

    name: str
    number: int
    version: str | None
    """`vX.Y.Z`; None when the title was taken away without a successor."""
    time: int
    who: str
    kind: str
    """`promote`, `rollback`, or `assign` / `unassign` for events made with GTO."""
    why: str

    @property
    def label(self) -> str | None:
        """`NAME@vX.Y.Z` of the new champion."""
        return f"{self.name}@{self.version}" if self.version else None


def check_name(name: str) -> str:
    """Return `name` when it may be a model's name.

    Raises:
        RegistryError: it may not; says what is allowed.
    """
    if not re.fullmatch(NAME, name, re.ASCII) or len(name) > 100:
        raise RegistryError(
            f"{name!r}: not a name for the registry; use letters, digits, `-` and `_`, with a letter or digit at both"
            " ends (at most 100)"
        )
    return name


def split_label(label: str) -> tuple[str, str]:
    """`NAME@vX.Y.Z` -> (name, version).

    Raises:
        RegistryError: another form.
    """
    match = _LABEL.fullmatch(label)
    if match is None:
        raise RegistryError(f"{label!r}: expected NAME@vX.Y.Z, for example tiny-vl@v0.0.2")
    return match[1], match[2]


def is_label(text: str) -> bool:
    """Whether `text` is `NAME@vX.Y.Z`."""
    return _LABEL.fullmatch(text) is not None


def event_number(tag: str) -> tuple[int, bool] | None:
    """`NAME#champion#N` -> (N, False); `NAME#champion!#N` -> (N, True), a title taken away; else None."""
    match = _EVENT.fullmatch(tag)
    return (int(match[3]), match[2] == "!") if match else None


def version_key(version: str) -> tuple[int, ...]:
    """`v1.2.3` -> (1, 2, 3), for sorting."""
    return tuple(int(part) for part in version[1:].split("."))


def next_version(versions: list[str]) -> str:
    """The greatest of `versions` with its last number raised; `v0.0.1` when there is none."""
    if not versions:
        return "v0.0.1"
    major, minor, patch = max(version_key(v) for v in versions)
    return f"v{major}.{minor}.{patch + 1}"


def read_record(text: str | None, label: str) -> Record | None:
    """The record in `text` if it is one and belongs to `label`, else None: tags can come from anywhere."""
    if text is None:
        return None
    try:
        record = Record.model_validate(parse_json(text.encode(), where=label))
    except (OmniRLError, ValidationError):
        return None
    return record if record.label == label else None
