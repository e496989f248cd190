"""`params.yaml` as frozen classes, checked in one sentence.

Every number lives in `params.yaml`; every meaning lives in `omnirl.config.sections`, as the string
under each field. Unknown keys are errors that name the nearest known key; a missing key is an error
that names it. This package reads one file and knows nothing of the stages.
"""

import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from omnirl.config.sections import (
    Convert,
    DatasetRepo,
    Demo,
    DemoBase,
    EvalSet,
    Evaluate,
    Fetch,
    Gate,
    HubFile,
    Lora,
    Model,
    ModelRepo,
    Name,
    RedTeam,
    Register,
    Report,
    RewardPart,
    Rewards,
    Section,
    Sft,
    Source,
    Train,
    Trainer,
    UnifiedAccuracy,
    Validate,
)
from omnirl.errors import ConfigError
from omnirl.io.files import read_yaml

__all__ = [
    "Convert",
    "DatasetRepo",
    "Demo",
    "DemoBase",
    "EvalSet",
    "Evaluate",
    "Fetch",
    "Gate",
    "HubFile",
    "Lora",
    "Model",
    "ModelRepo",
    "Params",
    "RedTeam",
    "Register",
    "Report",
    "RewardPart",
    "Rewards",
    "Section",
    "Sft",
    "Source",
    "Train",
    "Trainer",
    "UnifiedAccuracy",
    "Validate",
    "load_params",
    "parse_params",
]


class Params(Section):
    """The whole of `params.yaml`."""

    preset: Name
    model: Model
    rewards: Rewards
    fetch: Fetch
    convert: Convert
    validate_: Validate = Field(alias="validate")
    redteam: RedTeam
    sft: Sft
    train: Train
    evaluate: Evaluate
    gate: Gate
    register_: Register = Field(alias="register")
    report: Report

    @model_validator(mode="after")
    def _names(self) -> "Params":
        known = {s.name: s.split for s in self.convert.sources}
        wanted = [("sft.datasets", n, "sft") for n in self.sft.datasets]
        wanted += [("train.datasets", n, "train") for n in self.train.datasets]
        wanted += [(f"evaluate.sets.{k}.dataset", s.dataset, "eval") for k, s in self.evaluate.sets.items()]
        for where, name, split in wanted:
            if name not in known:
                raise ValueError(f"{where}: no source named {name!r} in convert.sources{_nearest(name, known)}")
            if known[name] != split and not (split == "sft" and known[name] == "train"):
                raise ValueError(f"{where}: source {name!r} has split {known[name]}, not {split}")
        return self


def load_params(path: Path) -> Params:
    """Read and check `path`.

    Raises:
        ConfigError: the file is missing, is not valid YAML, or breaks a rule; names the key.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; run from a checkout, or write one with `omnirl preset use demo`")
    return parse_params(read_yaml(path), where=str(path))


def parse_params(data: Any, *, where: str) -> Params:
    """Check already-read `data`; `where` names its origin in errors.

    Raises:
        ConfigError: as `load_params`.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected sections (model, rewards, fetch, ...), found {type(data).__name__}")
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as one sentence, with how many more there are."""
    # a misspelt key is also a missing one: name the misspelling first
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            text = f"the key {key} is missing; `omnirl preset show demo` shows a complete file"
        case "extra_forbidden":
            text = f"unknown key {key}{_nearest(str(first['loc'][-1]), _siblings(first['loc']))}"
        case "value_error":
            text = str(first.get("ctx", {}).get("error", first["msg"]))
        case _:
            text = f"{key}: {first['msg'][0].lower()}{first['msg'][1:]} (found {first['input']!r})"
    more = len(problems) - 1
    return text + (f" (and {more} more)" if more else "")


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    """Known keys beside the unknown one at `loc`."""
    kind: Any = Params
    for part in loc[:-1]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {f.alias or n: f.annotation for n, f in kind.model_fields.items()}
            kind = fields.get(str(part), kind)  # an index or a free key leads into the same class
        kind = _model_inside(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [f.alias or n for n, f in kind.model_fields.items()]
    return []


def _model_inside(kind: Any) -> Any:
    """The section class inside `Annotated[tuple[X, ...], ...]`, `X | None`, `dict[str, X]`; else `kind` itself."""
    for inner in get_args(kind):
        found = _model_inside(inner)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return kind


def _nearest(name: str, known: Any) -> str:
    """`; did you mean X?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}" if known else ""
