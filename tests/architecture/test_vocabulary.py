"""The same ten words everywhere: stages, parameters, subcommands, tasks, flow steps, and what the README promises."""

import ast
import re
from pathlib import Path

import pytest
import typer

from omnirl import STAGES, cli
from omnirl.cli.stages import STAGE_FUNCTIONS
from omnirl.io.files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SHARED_SECTIONS = ("preset", "model", "rewards")


@pytest.fixture(scope="module")
def subcommands() -> list[str]:
    if not cli.app.registered_commands:
        cli._load_commands()
    command = typer.main.get_command(cli.app)
    return list(command.commands)


def flow_steps() -> list[str]:
    """Names of the tasks that the flow calls, in order, without the closing summary."""
    tree = ast.parse((ROOT / "flows/post_training.py").read_text())
    flow = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "post_training")
    called = [node.func.id for node in ast.walk(flow) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name.removesuffix("_task") for name in called if name.endswith("_task") and name != "summary_task"]


def test_dvc_stages_are_the_ten_words():
    assert tuple(read_yaml(ROOT / "dvc.yaml")["stages"]) == STAGES


def test_parameter_sections_are_the_ten_words():
    assert tuple(name for name in read_yaml(ROOT / "params.yaml") if name not in SHARED_SECTIONS) == STAGES


def test_flow_steps_are_the_ten_words():
    assert tuple(flow_steps()) == STAGES


def test_task_files_are_the_ten_words():
    assert {path.stem for path in (ROOT / "tasks").glob("[!_]*.py")} == set(STAGES)


def test_subcommands_hold_the_ten_words_and_each_has_an_example(subcommands):
    assert set(STAGES) <= set(subcommands)
    assert tuple(STAGE_FUNCTIONS) == STAGES
    commands = typer.main.get_command(cli.app).commands
    for name in STAGES:
        assert "Example:" in (commands[name].help or ""), name


def documents() -> list[Path]:
    return [
        path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")) if path.is_file()
    ]


def test_make_targets_named_in_the_documents_exist():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert {"demo", "test", "test-long", "check", "ui", "bench", "system-deps"} <= targets
    for path in documents():
        named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", path.read_text(), flags=re.M))
        assert named <= targets, f"{path.name} names {sorted(named - targets)}"


def test_commands_named_in_the_documents_exist(subcommands):
    for path in documents():
        named = set(re.findall(r"(?:^|`|&& )omnirl ([a-z][a-z-]*)", path.read_text(), flags=re.M))
        assert named <= set(subcommands), f"{path.name} names {sorted(named - set(subcommands))}"


def test_task_files_are_short_and_hold_no_logic():
    for path in (ROOT / "tasks").glob("[!_]*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 30, path
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, ast.For | ast.While | ast.If | ast.comprehension), f"{path}: a loop or branch"
            assert not (isinstance(node, ast.Name) and node.id in ("open", "re")), f"{path}: {node.id}"


def test_no_task_caches_in_prefect():
    from prefect.cache_policies import NO_CACHE

    for stage in (*STAGES, "_summary"):
        module = __import__(f"tasks.{stage}", fromlist=["*"])
        task = getattr(module, f"{stage.strip('_')}_task")
        assert (task.cache_policy, task.persist_result) == (NO_CACHE, False), stage
