"""`omnirl registry`: versions and titles, from the shell. Only words and tables; the work is in `omnirl/registry`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from omnirl.config import load_params

if TYPE_CHECKING:
    from omnirl.registry.records import Event, Version

JSON = typer.Option(False, "--json", help="Print JSON for programs.")
WHY = typer.Option("by hand", "--why", help="One line for the history.")
app = typer.Typer(no_args_is_help=True, help="Versions of the model and who holds the title.", rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    """Add the group `registry`."""
    parent.add_typer(app, name="registry")


@app.command("list", help="All versions.\n\nExample: omnirl registry list --json")
def list_versions(name: str | None = typer.Argument(None, help="One model only."), as_json: bool = JSON) -> None:
    """`omnirl registry list`."""
    from omnirl.errors import RegistryError

    registry = _registry()
    names = registry.names()
    if name is not None:
        if name not in names:
            raise RegistryError(f"{name}: no such model; known names: {', '.join(names) or 'none yet'}")
        names = [name]
    found = []
    for each in names:
        champion = registry.champion(each)
        versions = [_version(v, champion) for v in registry.versions(each)]
        found.append({"name": each, "champion": champion.label if champion else None, "versions": versions})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    rows = [_row(v) for model in found for v in model["versions"]]
    _table(["version", "title", "verdict", "compared with", "digest", "recorded"], rows)
    if not found:
        typer.echo("No version yet; `omnirl register` (or `dvc repro`) records the first one.")


@app.command(
    "show", help="One version: NAME@vX.Y.Z, or the champion of NAME.\n\nExample: omnirl registry show tiny-vl@v0.0.2"
)
def show(label: str, as_json: bool = JSON) -> None:
    """`omnirl registry show`."""
    from omnirl.errors import RegistryError
    from omnirl.registry.records import is_label

    registry = _registry()
    if is_label(label):
        version = registry.version(label)
    else:
        registry.history(label)  # an unknown name is named, with those that are known
        champion = registry.champion(label)
        if champion is None:
            raise RegistryError(f"{label}: nobody holds the title; name a version, e.g. {label}@v0.0.1")
        version = champion
    facts = _version(version, registry.champion(version.name))
    record = version.record.model_dump() if version.record else {}
    facts |= {"lineage": record.get("lineage"), "dvc": record.get("dvc")}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        parts = value.items() if isinstance(value, dict) else []
        typer.echo(f"{key:14} {_plain(', '.join(f'{k} {v}' for k, v in parts) or value)}")
    typer.echo(f"{'card':14} git show {version.label}:model-card.md")
    if facts["fetchable"]:
        typer.echo(f"{'fetch':14} dvc get . {facts['path']} --rev {version.label} -o model")


@app.command("history", help="Every title event, oldest first.\n\nExample: omnirl registry history tiny-vl")
def history(
    name: str | None = typer.Argument(None, help="Default: register.name of params.yaml."), as_json: bool = JSON
) -> None:
    """`omnirl registry history`."""
    events = [_event(e) for e in _registry().history(_name(name))]
    if as_json:
        typer.echo(json.dumps(events, indent=2))
        return
    _table(["event", "date", "what", "version", "who", "why"], [[str(v or "-") for v in e.values()] for e in events])
    if not events:
        typer.echo("Nobody has held the title yet.")


@app.command(
    "promote",
    help="Give the title to a version.\n\nExample: omnirl registry promote tiny-vl@v0.0.2 --why 'A/B test won'",
)
def promote(
    label: str = typer.Argument(..., help="NAME@vX.Y.Z"),
    why: str = WHY,
    expect: str | None = typer.Option(None, "--expect", help="Only if this version (or `none`) holds the title now."),
    as_json: bool = JSON,
) -> None:
    """`omnirl registry promote`."""
    registry = _registry()
    name = registry.version(label).name
    expected = _expected(registry, name, expect)
    _tell(registry.promote(label, why=why, expected=expected), as_json)


@app.command(
    "rollback",
    help="Give the title back to the champion before.\n\nExample: omnirl registry rollback tiny-vl --why 'too slow'",
)
def rollback(
    name: str | None = typer.Argument(None, help="Default: register.name of params.yaml."),
    to: str | None = typer.Option(
        None, "--to", help="An earlier version, vX.Y.Z; default: the champion before the present one."
    ),
    why: str = WHY,
    expect: str | None = typer.Option(None, "--expect", help="Only if this version (or `none`) holds the title now."),
    as_json: bool = JSON,
) -> None:
    """`omnirl registry rollback`."""
    registry = _registry()
    model = _name(name)
    to = to.removeprefix(f"{model}@") if to else None
    _tell(registry.rollback(model, to=to, why=why, expected=_expected(registry, model, expect)), as_json)


@app.command(
    "pin",
    help="Compare the next run with the champion (evaluate.champion).\n\nExample: omnirl registry pin && dvc repro",
)
def pin(
    name: str | None = typer.Argument(None, help="Default: register.name of params.yaml."), as_json: bool = JSON
) -> None:
    """`omnirl registry pin`."""
    from omnirl.registry import pin as pinning

    old, new = pinning.pin(Path.cwd(), name)
    if as_json:
        typer.echo(json.dumps({"old": old, "new": new}))
    elif old == new:
        typer.echo(f"params.yaml: evaluate.champion is {new} already")
    else:
        typer.echo(f"params.yaml: evaluate.champion: {old} -> {new}")


def _registry() -> Any:
    from omnirl.registry.store import Registry

    return Registry(Path.cwd())


def _name(name: str | None) -> str:
    return name or load_params(Path.cwd() / "params.yaml").register_.name


def _expected(registry: Any, name: str, expect: str | None) -> int | None:
    """The number of the present title event, if `expect` holds the title; None when nothing is expected.

    Raises:
        ConflictError: another version holds it.
    """
    from omnirl.errors import ConflictError

    if expect is None:
        return None
    champion, number = registry.champion_event(name)
    present = champion.version if champion else "none"
    if expect.removeprefix(f"{name}@") != present:
        raise ConflictError(f"{name}: the title is held by {present}, not by {expect}; nothing was changed")
    return number


def _tell(event: "Event", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_event(event)))
    else:
        typer.echo(
            f"{event.label} holds the title (event {event.number}); `omnirl registry pin` compares the next run with it"
        )


def _version(version: "Version", champion: "Version | None") -> dict[str, Any]:
    record = version.record
    return {
        "label": version.label,
        "version": version.version,
        "champion": champion is not None and champion.commit == version.commit,
        "verdict": record.verdict if record else None,
        "compared_with": record.compared_with.label if record and record.compared_with else None,
        "digest": record.digest if record else None,
        "path": record.path if record else None,
        "fetchable": bool(record and record.dvc),
        "date": _date(version.time),
        "who": version.who,
        "commit": version.commit,
    }


def _event(event: "Event") -> dict[str, Any]:
    when = _date(event.time)
    return {
        "event": event.number,
        "date": when,
        "what": event.kind,
        "version": event.version,
        "who": event.who,
        "why": event.why,
    }


def _row(version: dict[str, Any]) -> list[str]:
    title = "champion" if version["champion"] else ""
    values = [version["label"], title, version["verdict"] or "-", version["compared_with"] or "-"]
    return [*values, (version["digest"] or "unknown")[:12], version["date"]]


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _table(head: list[str], rows: list[list[str]]) -> None:
    if not rows:
        return
    clean = [head, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in clean) for i in range(len(head))]
    for row in clean:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(value: Any) -> str:
    """`value` without control characters: tags can come from anywhere and must not steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(value))
