"""`omnirl registry` from the shell: tables, JSON, exit codes, one sentence on bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from registry_candidates import candidate
from typer.testing import CliRunner

from omnirl.cli import registry as commands
from omnirl.errors import ConflictError
from omnirl.registry.store import Registry

app = typer.Typer()
commands.add_to(app)


@pytest.fixture
def omnirl(checkout, monkeypatch):
    """Run a command in the checkout, return what it printed; errors of ours are raised."""
    registry = Registry(checkout.root)
    for n in range(3):
        registry.register(candidate(n))
    registry.promote("tiny-vl@v0.0.1", why="first")
    registry.promote("tiny-vl@v0.0.2", why="second\x1b[31m")
    monkeypatch.chdir(checkout.root)

    def call(*words):
        result = CliRunner().invoke(app, ["registry", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return call


def test_list_shows_every_version_and_marks_the_champion(omnirl):
    lines = omnirl("list").splitlines()
    assert [line.split()[0] for line in lines] == ["version", "tiny-vl@v0.0.1", "tiny-vl@v0.0.2", "tiny-vl@v0.0.3"]
    assert ["champion" in line for line in lines[1:]] == [False, True, False]


def test_list_json_is_complete(omnirl):
    (model,) = json.loads(omnirl("list", "--json"))
    assert (model["name"], model["champion"]) == ("tiny-vl", "tiny-vl@v0.0.2")
    assert [v["version"] for v in model["versions"]] == ["v0.0.1", "v0.0.2", "v0.0.3"]
    assert model["versions"][0].keys() >= {
        "label",
        "champion",
        "verdict",
        "compared_with",
        "digest",
        "fetchable",
        "date",
        "who",
    }


def test_show_takes_a_label_or_a_name(omnirl):
    by_name, by_label = (json.loads(omnirl("show", word, "--json")) for word in ("tiny-vl", "tiny-vl@v0.0.2"))
    assert by_name == by_label
    assert by_name["lineage"]["preset"] == "demo"
    assert "dvc get . models/grpo --rev tiny-vl@v0.0.2 -o model" in omnirl("show", "tiny-vl")


def test_history_promote_rollback_and_pin(omnirl, checkout):
    assert "tiny-vl@v0.0.3 holds the title" in omnirl("promote", "tiny-vl@v0.0.3", "--why", "third")
    assert json.loads(omnirl("rollback", "--why", "no", "--json"))["version"] == "v0.0.2"
    events = json.loads(omnirl("history", "--json"))
    assert [(e["event"], e["what"], e["version"], e["why"]) for e in events][2:] == [
        (3, "promote", "v0.0.3", "third"),
        (4, "rollback", "v0.0.2", "no"),
    ]
    assert "warm-start -> tiny-vl@v0.0.2" in omnirl("pin")
    assert "already" in omnirl("pin")
    assert checkout.params.evaluate.champion == "tiny-vl@v0.0.2"


def test_what_a_tag_says_cannot_steer_the_terminal(omnirl):
    assert "\x1b" not in omnirl("history")


def test_expectation_that_does_not_hold_changes_nothing(omnirl, checkout):
    for expect in ("tiny-vl@v0.0.1", "v0.0.3", "none"):
        with pytest.raises(ConflictError, match="the title is held by v0.0.2"):
            omnirl("promote", "tiny-vl@v0.0.3", "--expect", expect)
    assert len(Registry(checkout.root).history("tiny-vl")) == 2
    omnirl("promote", "tiny-vl@v0.0.3", "--expect", "v0.0.2")
    assert Registry(checkout.root).champion("tiny-vl").version == "v0.0.3"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "tiny-vl@v9.9.9"], "known: v0.0.1, v0.0.2, v0.0.3"),
        (["show", "nobody"], "known names: tiny-vl"),
        (["history", "nobody"], "known names: tiny-vl"),
        (["promote", "tiny-vl"], "expected NAME@vX.Y.Z"),
        (["rollback", "tiny-vl", "--to", "v9.9.9"], "no such version"),
        (["list", "nobody"], "known names: tiny-vl"),
        (["pin", "a b"], "not a name for the registry"),
    ],
)
def test_bad_input_exits_2_with_one_sentence(omnirl, checkout, words, sentence):
    argv = [sys.executable, "-m", "omnirl", "registry", *words]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(argv, cwd=checkout.root, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("word", ["list", "show", "history", "promote", "rollback", "pin"])
def test_every_command_has_help_with_an_example(word):
    output = CliRunner().invoke(app, ["registry", word, "--help"]).output
    assert f"Example: omnirl registry {word}" in output
