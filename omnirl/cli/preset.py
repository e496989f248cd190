"""`omnirl preset`: complete parameter files, listed, shown, and put in place of `params.yaml`."""

import json
from pathlib import Path
from typing import Any

import typer

import omnirl
from omnirl.config import load_params
from omnirl.errors import ConfigError, RegistryError
from omnirl.io import files

app = typer.Typer(no_args_is_help=True, help="Complete parameter files.", rich_markup_mode=None)
NONE = object()


def add_to(parent: typer.Typer) -> None:
    """Add the group `preset`."""
    parent.add_typer(app, name="preset")


@app.command("list", help="The presets there are.\n\nExample: omnirl preset list")
def list_presets(as_json: bool = typer.Option(False, "--json", help="Print JSON for programs.")) -> None:
    """`omnirl preset list`."""
    found = {path.stem: _summary(path) for path in sorted(folder().glob("*.yaml"))}
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    width = max(len(name) for name in found)
    for name, summary in found.items():
        typer.echo(f"{name.ljust(width)}  {summary}")


@app.command("show", help="Print a preset, complete and with its comments.\n\nExample: omnirl preset show demo")
def show(name: str) -> None:
    """`omnirl preset show`."""
    typer.echo(_text(find(name)), nl=False)


@app.command("use", help="Put a preset in place of params.yaml.\n\nExample: omnirl preset use demo")
def use(
    name: str,
    force: bool = typer.Option(False, "--force", help="Even when params.yaml holds changes that are not in Git."),
) -> None:
    """`omnirl preset use`."""
    source, target = find(name), Path.cwd() / "params.yaml"
    load_params(source)
    new, old = _text(source), _text(target) if target.is_file() else None
    if old == new:
        typer.echo(f"params.yaml is the preset {name} already")
        return
    kept = _where_kept(target, old) if old is not None else None
    if old is not None and kept is None and not force:
        raise ConfigError(f"{target}: holds changes that are not in Git; commit them, or replace the file with --force")
    files.write_text(target, new)
    if old is None:
        typer.echo(f"params.yaml written: the preset {name}")
        return
    for line in changes(old, new):
        typer.echo(line)
    typer.echo(f"params.yaml is now the preset {name}; the old file {kept or 'was in no commit and is gone'}")


def folder() -> Path:
    """Where the presets are: in the current folder, in the checkout the package lies in, or in the package.

    Raises:
        ConfigError: nowhere.
    """
    package = Path(omnirl.__file__).parent
    for place in (Path.cwd(), package.parent, package):
        if any((place / "presets").glob("*.yaml")):
            return place / "presets"
    raise ConfigError(f"{Path.cwd()}: no folder presets/ here; run from a checkout")


def find(name: str) -> Path:
    """The file of the preset `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    known = {path.stem: path for path in sorted(folder().glob("*.yaml"))}
    if name not in known:
        raise ConfigError(f"{name!r}: no such preset; known: {', '.join(known)}")
    return known[name]


def changes(old: str, new: str) -> list[str]:
    """`key: old -> new` for each value that differs between two parameter files, in the order of the new one."""
    try:
        before = flatten(files.parse_yaml(old, where="params.yaml"))
    except ConfigError:
        before = {}  # the old file could not be read: everything is new
    after = flatten(files.parse_yaml(new, where="params.yaml"))
    keys = [*after, *(key for key in before if key not in after)]
    pairs = [(key, before.get(key, NONE), after.get(key, NONE)) for key in keys]
    return [f"  {key}: {_word(a)} -> {_word(b)}" for key, a, b in pairs if a != b]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists are values."""
    if not isinstance(value, dict) or not value:
        return {prefix: value} if prefix else {}
    return {
        k: v
        for key, inner in value.items()
        for k, v in flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _word(value: Any) -> str:
    if value is NONE:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _where_kept(target: Path, text: str) -> str | None:
    """Where the text of `params.yaml` can be had again: from Git or from a preset; None = nowhere."""
    if _is_committed(target, text):
        return "is in Git (`git diff params.yaml`)"
    same = [path.stem for path in folder().glob("*.yaml") if _text(path) == text]
    return f"was the preset {same[0]}" if same else None


def _is_committed(target: Path, text: str) -> bool:
    from omnirl.registry.git import Git

    git = Git(target.parent)
    try:
        git.check_repository()
    except RegistryError:
        return False
    return git.read_texts([git.head()], target.name)[0] == text


def _summary(path: Path) -> str:
    """The second comment line of a preset (`This file is the preset ...`), else its name."""
    comments = [line.lstrip("# ").rstrip() for line in _text(path).splitlines() if line.startswith("#")]
    return next((line for line in comments if path.stem in line), comments[0] if comments else "")


def _text(path: Path) -> str:
    return files.read_bytes(path).decode(errors="replace")
