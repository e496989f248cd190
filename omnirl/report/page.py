"""One self-contained HTML page from the evidence; with run information also the page of one run.

Jinja2 with autoescaping; every text that comes from data passes `clean` first, so control and
direction characters, lone surrogates and this machine's paths never reach the page. No script, no
address outside the page: the content security policy forbids both. Writes nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from omnirl.errors import DataError
from omnirl.report import examples, figures, tables, words
from omnirl.report.inputs import Evidence
from omnirl.schema import layout
from omnirl.schema.reports import EXIT_CODES

SIGNS = {"promote": "✓", "hold": "=", "reject": "✕", "refuse": "≠"}
OUTCOMES = {"better": "▲ better", "worse": "▼ worse", "same": "● no evidence", "unknown": words.MISSING}
MISLEADING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters (newline and tab are harmless), surrogates, direction overrides."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Run:
    """What belongs to one run and therefore never stands in `reports/page.html`."""

    id: str
    stages: dict[str, dict[str, Any]]
    """Stage -> `{"status", "seconds"}`, all ten, in order."""
    started: str
    hardware: tuple[str, ...]
    packages: tuple[str, ...]
    title: str
    """`moved`, `kept` or `none`."""
    message: str
    champion: str | None
    cost: str

    @property
    def total(self) -> float:
        """Seconds of all stages that ran."""
        return sum(s["seconds"] for s in self.stages.values())

    @property
    def longest(self) -> float:
        """Seconds of the longest stage; 1.0 when none ran."""
        return max((s["seconds"] for s in self.stages.values()), default=0.0) or 1.0


def clean(text: str, root: str = "") -> str:
    """`text` without characters that mislead or cannot be encoded, and without the path `root`."""
    if root and root != "/":
        text = text.replace(f"{root}/", "").replace(root, ".")
    return MISLEADING.sub(REPLACEMENT, text)


def render(evidence: Evidence, run: Run | None = None) -> str:
    """The page as text: the same bytes for the same evidence, whatever the verdict was."""
    return _environment(evidence.root).get_template("page.html.jinja").render(context(evidence, run))


def _environment(root: Path) -> Environment:
    place = str(root.resolve())

    def finalize(value: Any) -> Any:
        return clean(value, place) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("omnirl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = ("percent", "points", "interval", "p_value", "number", "score", "duration")
    environment.filters |= {name: getattr(words, name) for name in names}
    environment.filters |= {
        "width": lambda value: f"{100 * min(1.0, max(0.0, value or 0.0)):.1f}",
        "metric": lambda value: words.MISSING if value is None else f"{value:.4g}",
        "role": lambda name: words.ROLES.get(name, name or words.MISSING),
        "outcome": OUTCOMES.__getitem__,
    }
    return environment


def context(evidence: Evidence, run: Run | None) -> dict[str, Any]:
    """Everything the template names."""
    params, gate = evidence.params, evidence.gate
    results = tables.results(evidence)
    margins = _margins(evidence, results)
    return {
        **_verdict(evidence),
        "title": params.report.title,
        "preset": params.preset,
        "run": run,
        "results": results,
        "tiles": [r for r in results if r["role"] == "target" and r["gain"] is not None],
        "questions": sum(r["n"] or 0 for r in results),
        "tests": sorted({words.name_of_test(r["test"]) for r in results if r["test"]}),
        "sentence": sentence(results),
        "alpha": gate.get("alpha", params.gate.alpha),
        "forest": figures.forest(results, margins),
        "margins": margins,
        "first_minimum": gate.get("first_minimum_met"),
        "first_bar": params.gate.first_minimum,
        "metrics": tables.every_metric(evidence),
        "figures": tables.further_figures(evidence),
        "sample": examples.sample(evidence),
        "gained": examples.gained(evidence),
        "lost": examples.lost(evidence),
        "none_changed": {key: _none(results, key) for key in ("gained", "lost")},
        **_training(evidence),
        **_data(evidence),
        "note": words.demo_note(params),
        "demo": params.fetch.endpoint == "demo",
        "glossary": words.GLOSSARY,
    }


def _verdict(evidence: Evidence) -> dict[str, Any]:
    gate = evidence.gate
    name = str(gate.get("verdict"))
    if name not in EXIT_CODES:
        raise DataError(f"{layout.GATE_REPORT}: unknown verdict {name!r}; run `dvc repro gate` again")
    word, meaning = words.VERDICTS[name]
    labels = {who: (gate.get(who) or {}).get("label") or words.MISSING for who in ("champion", "challenger")}
    version = tables.version_label(evidence.registration)
    return {
        "verdict": {"name": name, "word": word, "meaning": meaning, "sign": SIGNS[name]},
        "reasons": gate.get("reasons") or [],
        "version": version,
        **labels,
        "next_steps": words.next_steps(name, evidence.params.register_.name, version),
    }


def _margins(evidence: Evidence, results: list[dict[str, Any]]) -> dict[str, float]:
    """Margin (fraction) of each guard among the sets: its own entry in `gate.margins`, else `out_of_domain`."""
    margins = evidence.params.gate.margins
    guards = [r["name"] for r in results if r["role"] == "guard"]
    return {n: m for n in guards if (m := margins.get(n, margins.get("out_of_domain"))) is not None}


def sentence(results: list[dict[str, Any]]) -> str:
    """How many sets came out better, worse and undecided, as one sentence."""
    count = {kind: sum(r["effect"] == kind for r in results) for kind in OUTCOMES}
    parts = [f"better on {count['better']}", f"worse on {count['worse']}", f"no evidence on {count['same']}"]
    if count["unknown"]:
        parts.append(f"not compared on {count['unknown']}")
    return f"Of {len(results)} sets, the challenger is {parts[0]}, {parts[1]}; {'; '.join(parts[2:])}."


def _none(results: list[dict[str, Any]], key: str) -> str:
    """What stands in place of an empty gallery of gained or lost questions."""
    counts = [r[key] for r in results if r[key] is not None]
    if not counts:
        return f"Nothing was compared, so no question counts as {key}."
    return f"No question was {key}." if sum(counts) == 0 else "Their records are not at hand."


def _training(evidence: Evidence) -> dict[str, Any]:
    charts = figures.curves(evidence.train_curve, figures.TRAIN_PANELS)
    charts += figures.curves(evidence.sft_curve, figures.SFT_PANELS)
    rows = [{**row, "name": f"GRPO: {row['name']}"} for row in tables.curve_summary(evidence.train_curve)]
    rows += [{**row, "name": f"warm start: {row['name']}"} for row in tables.curve_summary(evidence.sft_curve)]
    return {"charts": charts, "curve_rows": rows, "smooth": figures.SMOOTH}


def _data(evidence: Evidence) -> dict[str, Any]:
    params = evidence.params
    return {
        "validation": evidence.validation,
        "leakage": evidence.validation.get("leakage"),
        "quarantine_limit": params.validate_.max_quarantine_fraction,
        "datasets": tables.datasets(evidence),
        "quarantine": examples.quarantined(evidence, tables.quarantine_reasons(evidence)),
        "redteam": tables.redteam(evidence),
        "attack_texts": words.ATTACKS,
        "lineage": tables.lineage(evidence),
        "files": tables.fetched_files(evidence),
        "fingerprints": tables.fingerprints(evidence),
        "settings": settings(evidence),
    }


def settings(evidence: Evidence) -> str:
    """`section.key: value` for the sections that shape the result, one per line."""
    params = evidence.params
    shown = {
        "model": params.model,
        "rewards": params.rewards,
        "sft": params.sft,
        "train": params.train,
        "evaluate": params.evaluate,
        "gate": params.gate,
    }
    lines = []
    for name, section in shown.items():
        lines += [f"{name}.{key}: {value}" for key, value in section.model_dump(mode="json").items()]
    return "\n".join(lines)
