"""`omnirl rescore` and `omnirl gate`: judge recorded runs from the command line.

Turns files into records (`omnirl.evaluate`), records into a decision (`omnirl.gate`), and both into a
table for people or JSON for programs. Decides nothing itself.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnirl.errors import ConfigError, DataError, RefusedError
from omnirl.schema.reports import EXIT_CODES

if TYPE_CHECKING:
    from omnirl.evaluate.rescore import Rescored
    from omnirl.gate.decide import Decision, JudgedSet

REFUSED = 12
SAMPLES, SEED = 10_000, 1
"""Bootstrap draws and their seed when files are judged without `params.yaml`."""
NEXT = {
    "promote": "Next: the challenger may take the title (`omnirl registry promote`).",
    "hold": "Next: keep the champion; ask more questions, or train on.",
    "reject": "Next: keep the champion; look at the lost questions before training again.",
    "refuse": "Next: evaluate both models on the same questions in the same way.",
}


def add_to(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("rescore")(rescore_command)
    app.command("gate")(gate_command)


def rescore_command(
    file: Annotated[Path, typer.Argument(help="Recorded outputs: .json, .jsonl, each also .gz.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score recorded outputs from what the model said; exit 12 when frames are mixed.

    Example: omnirl rescore tests/data/recorded/refcoco-3b-baseline.json.gz --json
    """
    from omnirl.evaluate.rescore import rescore

    result = rescore(file)
    typer.echo(json.dumps(_rescored(result)) if as_json else _rescored_text(result))
    if result.refused is not None:
        raise typer.Exit(REFUSED)


def _rescored(result: "Rescored") -> dict[str, Any]:
    extra = {f"decided_by_{who}": count for who, count in result.decided.items()}
    return {
        "n": result.n,
        "accuracy": result.accuracy,
        "unparsable": result.unparsable,
        "frame": result.frame,
        "refused": result.refused,
        **extra,
    }


def _rescored_text(result: "Rescored") -> str:
    lines = [f"{result.path.name}: {result.n} questions ({result.form})"]
    if result.refused is not None:
        lines.append(f"  refused     {result.refused}")
    else:
        right = sum(record.correct for record in result.records)
        lines.append(f"  accuracy    {100 * right / result.n:.1f} % ({right} right)")
    lines.append(f"  unparsable  {result.unparsable}")
    if result.frame is not None:
        lines.append(f"  frame       {result.frame}")
    return "\n".join([*lines, *(f"  note        {note}" for note in result.notes)])


def gate_command(
    champion: Annotated[Path | None, typer.Option(help="Recorded outputs of the model that holds the title.")] = None,
    challenger: Annotated[Path | None, typer.Option(help="Recorded outputs of the candidate, same questions.")] = None,
    out_of_domain: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A2 B2", help="Champion's and challenger's out-of-domain outputs: a guard."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Two-sided error probability.")] = 0.05,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Guard and its margin: out_of_domain, acc75, format, unreadable, length."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Judge a challenger against a champion, question by question.

    Without files this is the stage: it reads params.yaml and the stage evaluate's records, writes
    reports/gate.json and exits 0. With --champion and --challenger it judges recorded files and exits
    0 promote, 10 hold, 11 reject, 12 refuse, 2 bad input.

    Example: omnirl gate --champion base.json --challenger r1_500.json --margin acc75=.05 --json
    """
    if champion is None and challenger is None:
        _stage(bool(out_of_domain or margin or as_json))
        return
    if champion is None or challenger is None:
        raise ConfigError("gate needs both --champion FILE and --challenger FILE, or neither (the stage)")
    if not 0 < alpha < 1:
        raise ConfigError(f"--alpha must lie between 0 and 1, not {alpha}")
    pairs = {"target": (champion, challenger)}
    if out_of_domain is not None:
        pairs["out_of_domain"] = out_of_domain
    decision, sets = _judge(pairs, alpha, _margins(margin or []))
    typer.echo(json.dumps(_decided(decision, sets)) if as_json else _decided_text(decision))
    raise typer.Exit(EXIT_CODES[decision.verdict])


def _stage(has_options: bool) -> None:
    from omnirl.cli.stages import gate_stage, run_stage

    if has_options:
        raise ConfigError("--out-of-domain, --margin and --json judge files: give --champion and --challenger too")
    run_stage("gate", gate_stage)


def _margins(given: list[str]) -> dict[str, float]:
    """`["acc75=.05"]` -> `{"acc75": 0.05}`."""
    from omnirl.gate.decide import FIGURES

    margins: dict[str, float] = {}
    for item in given:
        name, _, value = item.partition("=")
        if name not in (*FIGURES, "out_of_domain"):
            raise ConfigError(f"--margin {item}: unknown guard {name!r}; known: {', '.join(FIGURES)}, out_of_domain")
        try:
            margins[name] = float(value)
        except ValueError:
            raise ConfigError(f"--margin {item}: expected NAME=VALUE with a number, e.g. {name}=0.05") from None
        if not 0 <= margins[name] < float("inf"):
            raise ConfigError(f"--margin {item}: a margin is a finite number of at least 0")
    return margins


def _judge(
    pairs: dict[str, tuple[Path, Path]], alpha: float, margins: dict[str, float]
) -> tuple["Decision", list["JudgedSet"]]:
    from omnirl.gate.decide import Decision, JudgedSet, Settings, judge, pair

    files = {name: _two(*paths) for name, paths in pairs.items()}
    if "out_of_domain" in margins and "out_of_domain" not in pairs:
        raise ConfigError("--margin out_of_domain needs --out-of-domain A2 B2")
    _check_figures(margins, *files["target"])
    try:
        sets = []
        for name, (old, new) in files.items():
            _comparable(name, old, new)
            role = "target" if name == "target" else "guard"
            sets.append(JudgedSet(name, role, pair(name, old.records, new.records)))
        return judge(sets, Settings(alpha, SAMPLES, SEED, margins)), sets
    except RefusedError as error:
        return Decision("refuse", [str(error)], {}), []


def _two(champion: Path, challenger: Path) -> tuple["Rescored", "Rescored"]:
    from omnirl.evaluate.rescore import rescore

    return rescore(champion), rescore(challenger)


def _check_figures(margins: dict[str, float], *results: "Rescored") -> None:
    for result in results:
        if "acc75" in margins and result.form not in ("boxes", "records"):
            raise DataError(f"{result.path}: --margin acc75 needs boxes, and this file has none")


def _comparable(name: str, old: "Rescored", new: "Rescored") -> None:
    """Refuse files that cannot be scored or were written in different forms or frames."""
    for who, result in (("champion", old), ("challenger", new)):
        if result.refused is not None:
            raise RefusedError(f"{name}: {result.path.name} (the {who}) cannot be scored: {result.refused}")
    if old.form != new.form:
        raise RefusedError(f"{name}: one file holds {old.form}, the other {new.form}")
    if old.frame != new.frame:
        raise RefusedError(f"{name}: the boxes stand in different frames, {old.frame} and {new.frame}")


def _decided(decision: "Decision", sets: list["JudgedSet"]) -> dict[str, Any]:
    from omnirl.gate.run import numbers

    return {
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "sets": {s.name: numbers(decision.comparisons[s.name]) for s in sets},
    }


def _decided_text(decision: "Decision") -> str:
    lines = []
    if decision.comparisons:
        lines.append(
            f"{'':28}{'n':>6}{'champion':>10}{'challenger':>12}{'gained':>8}{'lost':>6}{'p':>10}  95 % interval"
        )
    for c in decision.comparisons.values():
        scale, unit = (1, "") if c.unit == "length" else (100, " %")
        low, high = (100 * v for v in c.ci95)
        lines.append(
            f"{c.name:<28}{c.n:>6}{scale * c.champion:>8.1f}{unit:<2}{scale * c.challenger:>10.1f}{unit:<2}"
            f"{c.gained:>8}{c.lost:>6}{c.p:>10.2g}  {low:+.1f} to {high:+.1f}{' % of mean' if not unit else ''}"
            f"{'  guard' if c.role == 'guard' else ''}"
        )
    lines += ["", f"Verdict: {decision.verdict}", *(f"- {reason}" for reason in decision.reasons)]
    return "\n".join([*lines, NEXT[decision.verdict]])
