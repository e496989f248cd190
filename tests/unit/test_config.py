"""`params.yaml` is complete, strict, and says what is wrong in one sentence."""

import copy
from pathlib import Path

import pytest

from omnirl.config import load_params, parse_params
from omnirl.errors import ConfigError
from omnirl.io.files import read_yaml

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data():
    return read_yaml(REPO / "params.yaml")


def test_params_yaml_is_the_demo_preset():
    assert (REPO / "params.yaml").read_bytes() == (REPO / "presets/demo.yaml").read_bytes()


@pytest.mark.parametrize("preset", sorted((REPO / "presets").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_preset_parses_and_says_its_own_name(preset):
    assert load_params(preset).preset == preset.stem


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["train"].update(stepz=1), "unknown key train.stepz; did you mean steps?"),
        (lambda d: d["train"].pop("steps"), "the key train.steps is missing"),
        (lambda d: d["convert"]["sources"][0].update(box_fram=1), "unknown key convert.sources.0.box_fram; did you mean box_frame?"),
        (lambda d: d["fetch"]["demo"]["base"].update(step=2), "unknown key fetch.demo.base.step; did you mean steps?"),
        (lambda d: d["gate"].update(alpha=2), "gate.alpha: input should be less than 1 (found 2)"),
        (lambda d: d["train"].update(datasets=["rec_trian"]), "no source named 'rec_trian' in convert.sources; did you mean rec_train?"),
        (lambda d: d["train"].update(datasets=["rec_val"]), "source 'rec_val' has split eval, not train"),
        (lambda d: d["evaluate"].update(champion="best"), "evaluate.champion"),
        (lambda d: d["model"].update(prompt_template="hello"), "must hold {question} exactly once"),
        (lambda d: d["fetch"].update(endpoint="ftp://x"), "must be demo or an http(s) address"),
        (lambda d: d["convert"]["sources"][1].update(name="rec_train"), "the name 'rec_train' is used more than once"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_one_sentence_that_names_it(data, change, sentence):
    broken = copy.deepcopy(data)
    change(broken)
    with pytest.raises(ConfigError) as caught:
        parse_params(broken, where="params.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2\n", "stands twice"),
        ("a: &x 1\nb: *x\n", "aliases are not allowed"),
        ("a: [1, 2\n", "expected ',' or ']'"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    ],
)
def test_hostile_yaml_is_refused_with_its_line(tmp_path, text, reason):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_params(tmp_path / "params.yaml")


def test_missing_file_says_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match="omnirl preset use demo"):
        load_params(tmp_path / "params.yaml")


def test_numbers_and_words_are_read_as_in_yaml_1_2(tmp_path):
    (tmp_path / "x.yaml").write_text("lr: 1e-06\nlabel: no\nwhen: 2026-01-01\nflag: true\nn: 12\nf: .5\n")
    assert read_yaml(tmp_path / "x.yaml") == {
        "lr": 1e-6,
        "label": "no",
        "when": "2026-01-01",
        "flag": True,
        "n": 12,
        "f": 0.5,
    }
