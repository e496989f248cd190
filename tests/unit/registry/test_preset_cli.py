"""`omnirl preset`: whole files, shown and put in place; nothing that is not in Git is lost."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from omnirl.cli import preset as commands
from omnirl.errors import ConfigError

REPO = Path(__file__).parents[3]
app = typer.Typer()
commands.add_to(app)
DEMO = (REPO / "presets/demo.yaml").read_text()
OTHER = (
    DEMO.replace("preset: demo", "preset: other")
    .replace("temperature: 1.0", "temperature: 0.9")
    .replace("`demo`", "`other`")
)


@pytest.fixture
def omnirl(checkout, monkeypatch):
    (checkout.root / "presets").mkdir()
    (checkout.root / "presets/demo.yaml").write_text(DEMO)
    (checkout.root / "presets/other.yaml").write_text(OTHER)
    monkeypatch.chdir(checkout.root)

    def call(*words):
        result = CliRunner().invoke(app, ["preset", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return call


def test_list_names_every_preset_with_its_line(omnirl):
    assert list(json.loads(omnirl("list", "--json"))) == ["demo", "other"]
    assert omnirl("list").splitlines()[1].startswith("other  This file is the preset `other`")


def test_show_prints_the_file_byte_for_byte(omnirl):
    assert omnirl("show", "other") == OTHER


def test_use_replaces_the_whole_file_and_says_what_changed(omnirl, checkout):
    output = omnirl("use", "other")
    assert (checkout.root / "params.yaml").read_text() == OTHER
    assert '  preset: "demo" -> "other"' in output
    assert "  train.temperature: 1.0 -> 0.9" in output
    assert output.count("->") == 2
    assert "the old file is in Git" in output
    assert "already" in omnirl("use", "other")


def test_use_goes_from_preset_to_preset_without_a_commit(omnirl, checkout):
    omnirl("use", "other")
    assert "the old file was the preset other" in omnirl("use", "demo")
    assert (checkout.root / "params.yaml").read_text() == DEMO


def test_changes_that_are_not_in_git_are_kept_unless_forced(omnirl, checkout):
    mine = DEMO.replace("temperature: 1.0", "temperature: 0.7")
    (checkout.root / "params.yaml").write_text(mine)
    with pytest.raises(ConfigError, match="changes that are not in Git.*--force"):
        omnirl("use", "other")
    assert (checkout.root / "params.yaml").read_text() == mine
    checkout.git("add", "params.yaml")
    with pytest.raises(ConfigError, match="not in Git"):
        omnirl("use", "other")
    assert "is gone" in omnirl("use", "other", "--force")
    assert (checkout.root / "params.yaml").read_text() == OTHER


def test_committed_changes_may_be_replaced(omnirl, checkout):
    (checkout.root / "params.yaml").write_text(DEMO.replace("temperature: 1.0", "temperature: 0.7"))
    checkout.commit("mine")
    assert "  train.temperature: 0.7 -> 0.9" in omnirl("use", "other")


def test_use_writes_a_missing_file(omnirl, checkout):
    (checkout.root / "params.yaml").unlink()
    assert "written" in omnirl("use", "demo")
    assert (checkout.root / "params.yaml").read_text() == DEMO


def test_unknown_preset_lists_the_known_ones(omnirl):
    with pytest.raises(ConfigError, match=r"'nope': no such preset; known: demo, other"):
        omnirl("use", "nope")


def test_a_broken_preset_is_not_put_in_place(omnirl, checkout):
    (checkout.root / "presets/broken.yaml").write_text(DEMO.replace("  alpha: 0.05", "  alpha: 0.05\n  alpa: 1"))
    with pytest.raises(ConfigError, match="alpa"):
        omnirl("use", "broken")
    assert (checkout.root / "params.yaml").read_text() == DEMO


def test_every_command_has_help_with_an_example():
    for word in ("list", "show", "use"):
        assert f"Example: omnirl preset {word}" in CliRunner().invoke(app, ["preset", word, "--help"]).output
