"""dvc.yaml says what the code does: paths as in `omnirl.schema.layout`, and every folder and parameter that a stage reads.

What a stage reads is found from its code: the modules it imports (however indirectly), the
`layout` names and the `params.…` chains in them. A stage whose list is too short would be
called up to date when it is not.
"""

import ast
import inspect
from functools import cache
from pathlib import Path

import grimp
import pytest

from omnirl import STAGES
from omnirl.cli.stages import STAGE_FUNCTIONS
from omnirl.io.files import read_yaml
from omnirl.schema import layout

ROOT = Path(__file__).resolve().parents[2]
DVC = read_yaml(ROOT / "dvc.yaml")
UNTRACKED = {layout.RUNS, layout.STATE, layout.SUMMARY}
NO_OUTPUT_DEPENDS_ON = {"omnirl", "omnirl.errors", "omnirl.cli"}
"""Texts of errors and of the command line: a new error class must not retrain a model."""
NOT_IN_OUTPUTS = {"evaluate": {"omnirl.registry"}, "report": {"omnirl.cli"}}
"""The registry hands over the champion that `evaluate.champion` names, an immutable version; the summary is no output."""
IN_MESSAGES = {"redteam": {layout.QUARANTINE}, "sft": {layout.QUARANTINE}, "train": {layout.QUARANTINE}}
"""Files that the stage only names in an error."""


def names(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: str) -> list[str]:
    return [name for kind in ("outs", "metrics", "plots") for name in names(DVC["stages"][stage].get(kind, []))]


def dependencies(stage: str) -> list[str]:
    return names(DVC["stages"][stage]["deps"])


@cache
def graph():
    return grimp.build_graph("omnirl")


@cache
def modules_of(stage: str) -> frozenset[str]:
    """Modules of the library that the stage's function imports, however indirectly."""
    tree = ast.parse(inspect.getsource(STAGE_FUNCTIONS[stage]))
    entries = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                entries.add(whole if whole in graph().modules else node.module)
    entries = {e for e in entries if not any(e.startswith(p) for p in NOT_IN_OUTPUTS.get(stage, ()))}
    assert entries, f"{stage}: no import found in its function"
    return frozenset(entries.union(*(graph().find_upstream_modules(e) for e in entries)))


@cache
def syntax(module: str) -> ast.Module:
    path = ROOT / Path(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def layout_paths(module: str) -> set[str]:
    """Values of the `layout.NAME` expressions of a module."""
    found = set()
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layout":
            found.add(getattr(layout, node.attr))
    return found


def parameter_chains(module: str) -> set[str]:
    """`params.a.b` expressions of a module as `a.b`, longest form only, names as in params.yaml."""
    tree, inner = syntax(module), set()
    found = set()
    for node in ast.walk(tree):
        parts, at = [], node
        while isinstance(at, ast.Attribute):
            inner.add(id(at.value))
            parts.insert(0, at.attr.rstrip("_"))
            at = at.value
        is_root = isinstance(at, ast.Name) and at.id == "params"
        while parts and "params" in parts:
            parts, is_root = parts[parts.index("params") + 1 :], True
        if is_root and parts and id(node) not in inner and parts[0] in (*STAGES, "model", "rewards", "preset"):
            found.add(".".join(part for part in parts[:2] if part != "model_dump"))
    return found


def test_every_path_of_the_layout_is_an_output_of_exactly_one_stage():
    paths = {v for k, v in vars(layout).items() if k.isupper() and isinstance(v, str)} - UNTRACKED
    produced = [name for stage in STAGES for name in outputs(stage)]
    assert sorted(produced) == sorted(paths)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_runs_its_own_subcommand(stage):
    assert DVC["stages"][stage]["cmd"] == f"PATH=.venv/bin:$PATH omnirl {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_its_section_and_reads_only_outputs_of_earlier_stages(stage):
    assert stage in DVC["stages"][stage]["params"]
    earlier = {name for before in STAGES[: STAGES.index(stage)] for name in outputs(before)}
    data = {name for name in dependencies(stage) if not name.startswith("omnirl/")}
    assert data <= earlier


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_every_package_that_it_imports(stage):
    packages = {".".join(module.split(".")[:2]) for module in modules_of(stage)} - NO_OUTPUT_DEPENDS_ON
    wanted = {p.replace(".", "/") + ("" if (ROOT / p.replace(".", "/")).is_dir() else ".py") for p in packages}
    assert {name for name in dependencies(stage) if name.startswith("omnirl/")} == wanted


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_every_file_that_its_code_names(stage):
    named = set().union(*(layout_paths(m) for m in modules_of(stage))) - UNTRACKED - IN_MESSAGES.get(stage, set())
    if stage in ("fetch", "convert", "validate"):  # their package is one folder, but they are three stages
        named &= {*outputs(stage), *dependencies(stage)}
    missing = named - set(outputs(stage)) - set(dependencies(stage))
    assert not missing, f"{stage} reads or writes {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_every_parameter_that_its_code_reads(stage):
    listed = DVC["stages"][stage]["params"]
    read = set().union(*(parameter_chains(m) for m in modules_of(stage)))
    missing = {chain for chain in read if not any(chain == p or chain.startswith(f"{p}.") for p in listed)}
    assert not missing, f"{stage} reads {sorted(missing)}"


def test_training_waits_for_the_red_team():
    assert layout.REDTEAM_REPORT in dependencies("sft")
    assert layout.REDTEAM_REPORT in dependencies("train")


def test_everything_is_in_the_cache_and_only_the_registration_persists():
    options = {}
    for stage in STAGES:
        for kind in ("outs", "metrics", "plots"):
            for entry in DVC["stages"][stage].get(kind, []):
                if isinstance(entry, dict):
                    options.update(entry)
    assert options == {layout.REGISTRATION: {"persist": True}}


def test_bytecode_makes_no_stage_stale():
    ignored = (ROOT / ".dvcignore").read_text().splitlines()
    assert {"__pycache__", "*.pyc"} <= set(ignored)
