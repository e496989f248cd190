"""Write the champion into `params.yaml` (`evaluate.champion`), changing that one value and nothing else."""

import re
from pathlib import Path
from typing import Any

from omnirl.config import load_params, parse_params
from omnirl.errors import RegistryError
from omnirl.io import files
from omnirl.registry.store import Registry

_VALUE = re.compile(r"(?P<head>[ ]+champion:[ ]+)(?:\"[^\"]*\"|'[^']*'|[^\s#\"']+)(?P<tail>[ \t]*(?:#.*)?\r?\n?)")


def pin(root: Path, name: str | None = None) -> tuple[str, str]:
    """Make the current champion of `name` the model that the next run is compared with.

    Args:
        root: the checkout.
        name: the model; None = `register.name` of `params.yaml`.

    Returns:
        (old value, new value) of `evaluate.champion`; equal when there was nothing to do.

    Raises:
        RegistryError: nobody holds the title, or `params.yaml` does not spell the value on a line of its own.
        ConfigError: `params.yaml` is not valid.
    """
    path = root / "params.yaml"
    params = load_params(path)
    name = name or params.register_.name
    champion = Registry(root).champion(name)
    if champion is None:
        raise RegistryError(f"{name}: nobody holds the title; give it with `omnirl registry promote {name}@vX.Y.Z`")
    old = params.evaluate.champion
    if old != champion.label:
        text = files.read_bytes(path).decode()
        files.write_text(path, with_champion(text, champion.label, where=str(path)))
    return old, champion.label


def with_champion(text: str, label: str, *, where: str) -> str:
    """The text of a `params.yaml` with `label` as `evaluate.champion`; comments and everything else stay.

    Raises:
        RegistryError: the value does not stand on a line of its own.
    """
    lines, inside = text.splitlines(keepends=True), False
    for number, line in enumerate(lines):
        if line.strip() and line[0] not in " #\r\n":
            inside = line.startswith("evaluate:")
        if inside and (match := _VALUE.fullmatch(line)):
            lines[number] = f"{match['head']}{label}{match['tail']}"
            break
    new = "".join(lines)
    wanted: Any = files.parse_yaml(text, where=where)
    wanted["evaluate"]["champion"] = label
    if files.parse_yaml(new, where=where) != wanted:
        raise RegistryError(f"{where}: write `champion:` on a line of its own below `evaluate:`, then pin again")
    parse_params(wanted, where=where)
    return new
