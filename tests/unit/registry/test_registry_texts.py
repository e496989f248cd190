"""The texts the registry writes or edits: `dvc.yaml`, `params.yaml`, the card; comments and the rest stay."""

from pathlib import Path

import pytest
from registry_candidates import candidate

from omnirl.errors import RegistryError
from omnirl.io.files import parse_yaml
from omnirl.registry import card
from omnirl.registry.contents import folder_md5, with_artifact
from omnirl.registry.pin import pin, with_champion
from omnirl.registry.records import Lineage, Record, Reference
from omnirl.registry.store import Registry

REPO = Path(__file__).parents[3]
PARAMS = (REPO / "params.yaml").read_text()
RECORD = Record(
    name="tiny-vl",
    version="v0.0.2",
    digest="ab" * 32,
    verdict="promote",
    path="models/grpo",
    dvc="cd" * 16 + ".dir",
    compared_with=Reference(label="warm-start", digest="ef" * 32),
    lineage=Lineage(commit="01" * 20, uncommitted=("a.py",), preset="demo"),
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("# only a comment\n", id="comment"),
        pytest.param("stages:\n  a:\n    cmd: x\n", id="no-artifacts"),
        pytest.param(
            "artifacts:\n  m:\n    path: old\n    desc: d\n\n# below\nstages:\n  a:\n    cmd: x\n", id="first"
        ),
        pytest.param("stages:\n  a:\n    cmd: x\nartifacts:\n  other:\n    path: o", id="last-without-line-end"),
        pytest.param("artifacts: {other: {path: o}}\nplots: []\n", id="flow-style"),
        pytest.param("artifacts:\n# in between\n  other:\n    path: o\n", id="comment-in-column-0"),
    ],
)
def test_artifact_entry_is_added_or_replaced_and_nothing_else_changes(text):
    before = parse_yaml(text, where="") or {}
    after = parse_yaml(with_artifact(text, "m", "models/sft"), where="")
    assert after.pop("artifacts") == {**before.pop("artifacts", {}), "m": {"path": "models/sft", "type": "model"}}
    assert after == before


def test_artifact_entry_that_says_it_already_leaves_the_bytes():
    text = "artifacts: {m: {path: models/grpo}}  # mine\n"
    assert with_artifact(text, "m", "models/grpo") == text


def test_folder_hash_is_the_one_dvc_gave_a_folder(tmp_path):
    """Vector from DVC 3.67.1: `dvc add` of this folder wrote ca353f40c853789b4db5e5f2c2a72c1b.dir."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "w").write_text("w1\n")
    (tmp_path / "sub/c").write_text("c\n")
    assert folder_md5(tmp_path) == "ca353f40c853789b4db5e5f2c2a72c1b.dir"


def test_pin_changes_one_value_of_the_real_params_yaml_and_keeps_every_other_byte():
    new = with_champion(PARAMS, "tiny-vl@v0.0.2", where="params.yaml")
    changed = [(a, b) for a, b in zip(PARAMS.split("\n"), new.split("\n"), strict=True) if a != b]
    assert changed == [("  champion: warm-start", "  champion: tiny-vl@v0.0.2")]


@pytest.mark.parametrize(
    "line", ["  champion: 'warm-start' # who", '  champion: "warm-start"', "  champion:   warm-start   # who"]
)
def test_pin_keeps_comment_and_spaces(line):
    new = with_champion(PARAMS.replace("  champion: warm-start", line), "tiny-vl@v0.0.2", where="params.yaml")
    quoted = line.replace("'", "").replace('"', "")
    assert new == PARAMS.replace("  champion: warm-start", quoted.replace("warm-start", "tiny-vl@v0.0.2"))


def test_pin_keeps_windows_line_ends():
    new = with_champion(PARAMS.replace("\n", "\r\n"), "tiny-vl@v0.0.2", where="params.yaml")
    assert new == PARAMS.replace("champion: warm-start", "champion: tiny-vl@v0.0.2").replace("\n", "\r\n")


def test_pin_refuses_what_it_cannot_edit_without_guessing():
    text = PARAMS.replace("  champion: warm-start", "  champion:\n    warm-start")
    with pytest.raises(RegistryError, match="on a line of its own"):
        with_champion(text, "tiny-vl@v0.0.2", where="params.yaml")


def test_pin_takes_the_champion_of_the_configured_name(checkout):
    registry = Registry(checkout.root)
    with pytest.raises(RegistryError, match="nobody holds the title"):
        pin(checkout.root)
    registry.register(candidate(1))
    registry.promote("tiny-vl@v0.0.1", why="x")
    assert pin(checkout.root) == ("warm-start", "tiny-vl@v0.0.1")
    before = (checkout.root / "params.yaml").read_bytes()
    assert pin(checkout.root) == ("tiny-vl@v0.0.1", "tiny-vl@v0.0.1")
    assert (checkout.root / "params.yaml").read_bytes() == before
    assert checkout.params.evaluate.champion == "tiny-vl@v0.0.1"


def test_card_shows_numbers_from_the_reports_and_survives_markup():
    gate = {
        "reasons": ["a | b\n<script>"],
        "sets": {"rec": {"n": 300, "champion": 0.54, "challenger": 1.0, "p": 1.25e-7, "ci95": [0.3, 0.5]}},
    }
    text = card.write(
        RECORD,
        {"gate.json": gate, "train.json": {"steps": 60, "model_digest": "ab" * 32}, "redteam.json": {"passed": True}},
    )
    assert "| rec |  | 300 |  | 0.54 | 1 |  |  | 1.25e-07 | 0.3 to 0.5 |" in text
    assert "- a / b &lt;script>" in text
    assert "with 1 uncommitted changes" in text
    assert "dvc get . models/grpo --rev tiny-vl@v0.0.2 -o model" in text
    assert "- rewards under attack: passed" in text


def test_card_of_a_warm_start_without_any_report_is_whole():
    record = RECORD.model_copy(update={"verdict": None, "compared_with": None, "path": "models/sft", "dvc": None})
    text = card.write(record, {})
    assert "None: this is the warm start" in text
    assert "cannot be fetched" in text
    assert "dvc get" not in text
