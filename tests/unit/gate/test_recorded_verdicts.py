"""`omnirl gate` and `omnirl rescore` as a program meets them, on the recorded runs."""

import json

import pytest
import typer
from typer.testing import CliRunner

from omnirl.cli import judge
from omnirl.errors import ConfigError, DataError
from omnirl.io import files
from tests.unit.evaluate.recorded import COUNTING, changed, recorded

REFGTA = recorded("refgta-3b-baseline")


@pytest.fixture
def omnirl():
    app = typer.Typer()
    judge.add_to(app)

    def call(*words):
        return CliRunner().invoke(app, [str(w) for w in words])

    return call


@pytest.fixture
def gate(omnirl):
    def call(champion, challenger, *rest):
        done = omnirl("gate", "--champion", champion, "--challenger", challenger, "--json", *rest)
        return done.exit_code, json.loads(done.stdout) if done.stdout else done.exception

    return call


def test_grpo_on_refgta_is_a_hold(gate):
    code, out = gate(REFGTA, recorded("refgta-3b-r1_500"))
    target = out["sets"]["target"]
    assert (code, out["verdict"]) == (10, "hold")
    assert (target["n"], target["gained"], target["lost"], target["test"]) == (500, 33, 19, "mcnemar_exact")
    assert target["p"] == pytest.approx(0.07, abs=0.005)
    assert (target["champion"], target["challenger"]) == (pytest.approx(0.718), pytest.approx(0.746))
    assert target["ci95"][0] <= 0.028 <= target["ci95"][1]
    assert target["smallest_visible_difference"] == pytest.approx(0.0403, abs=0.001)


def test_sft_on_refgta_is_a_reject(gate):
    code, out = gate(REFGTA, recorded("refgta-3b-sft_500"))
    assert (code, out["verdict"]) == (11, "reject")
    assert (out["sets"]["target"]["gained"], out["sets"]["target"]["lost"]) == (15, 190)
    assert out["sets"]["target"]["p"] == pytest.approx(9e-40, rel=0.05)


def test_counting_is_a_promote_although_the_image_folder_differs(gate):
    code, out = gate(recorded(f"{COUNTING}_legacy"), recorded(f"{COUNTING}_r1_200"))
    assert (code, out["verdict"]) == (0, "promote")


def test_another_set_is_a_refuse(gate):
    code, out = gate(REFGTA, recorded("refcoco-3b-r1_500"))
    assert (code, out["verdict"], out["sets"]) == (12, "refuse", {})
    assert "500 of 500 questions differ" in out["reasons"][0]


def test_a_run_against_itself_is_a_hold_with_p_of_one(gate):
    code, out = gate(REFGTA, REFGTA)
    assert (code, out["verdict"], out["sets"]["target"]["p"]) == (10, "hold", 1.0)


def test_a_guard_that_falls_out_of_domain_rejects(gate):
    pair = recorded("refgta-3b-baseline"), recorded("refgta-3b-sft_500")
    code, out = gate(recorded("refcoco-3b-baseline"), recorded("refcoco-3b-r1_500"), "--out-of-domain", *pair)
    assert (code, out["verdict"], set(out["sets"])) == (11, "reject", {"target", "out_of_domain"})
    assert "out_of_domain is worse" in out["reasons"][0]


def test_a_guard_that_holds_lets_a_promotion_pass(gate):
    counting = recorded(f"{COUNTING}_legacy"), recorded(f"{COUNTING}_r1_200")
    pair = recorded("refgta-3b-baseline"), recorded("refgta-3b-r1_500")
    assert gate(*counting, "--out-of-domain", *pair)[0] == 0


@pytest.mark.parametrize(
    ("margin", "code"),
    [
        pytest.param([], 0, id="format is only reported"),
        pytest.param(["format=0.05"], 11, id="format as a guard: it falls from 89 % to 5.5 %"),
        pytest.param(["unreadable=0.05"], 0, id="fewer unreadable answers"),
        pytest.param(["length=0.5"], 11, id="answers shrink by more than half"),
        pytest.param(["length=0.99"], 0, id="a wide margin for length"),
    ],
)
def test_a_named_figure_becomes_a_guard(gate, margin, code):
    options = [word for item in margin for word in ("--margin", item)]
    found, out = gate(recorded(f"{COUNTING}_legacy"), recorded(f"{COUNTING}_r1_200"), *options)
    assert found == code, out["reasons"]


def test_acc75_as_a_guard_decides(gate):
    code, out = gate(REFGTA, recorded("refgta-3b-r1_500"), "--margin", "acc75=0.02")
    assert code == 10
    assert any("target.acc75 may have lost as much as 3.0 points" in reason for reason in out["reasons"])


def test_the_same_questions_in_another_order_are_matched(gate, tmp_path):
    content = files.read_json(recorded("refgta-3b-r1_500"))
    content["results"].reverse()
    files.write_json(tmp_path / "reversed.json", content)
    _, out = gate(REFGTA, tmp_path / "reversed.json")
    assert (out["sets"]["target"]["gained"], out["sets"]["target"]["lost"]) == (33, 19)


def test_a_shorter_file_is_refused(gate, tmp_path):
    content = files.read_json(recorded("refgta-3b-r1_500"))
    content["results"].pop()
    files.write_json(tmp_path / "short.json", content)
    code, out = gate(REFGTA, tmp_path / "short.json")
    assert (code, out["reasons"]) == (12, ["target: the champion answered 500 questions, the challenger 499"])


def test_a_file_with_mixed_frames_is_refused_with_the_file_named(gate, tmp_path):
    def half(row, _generator, number):
        if number % 2:
            row["ground_truth"] = [v / 2 for v in row["ground_truth"]]

    code, out = gate(REFGTA, changed(tmp_path / "mixed.json", "refgta-3b-r1_500", half))
    assert (code, out["verdict"]) == (12, "refuse")
    assert "mixed.json" in out["reasons"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--champion", REFGTA], "both", id="one file"),
        pytest.param(["--champion", REFGTA, "--challenger", REFGTA, "--alpha", "2"], "alpha", id="alpha"),
        pytest.param(["--champion", REFGTA, "--challenger", REFGTA, "--margin", "acc57=.1"], "acc57", id="guard"),
        pytest.param(["--champion", REFGTA, "--challenger", REFGTA, "--margin", "acc75"], "NAME=VALUE", id="value"),
        pytest.param(["--champion", REFGTA, "--challenger", REFGTA, "--margin", "acc75=-1"], "at least 0", id="sign"),
        pytest.param(["--champion", REFGTA, "--challenger", REFGTA, "--margin", "out_of_domain=.1"], "needs", id="ood"),
        pytest.param(["--json"], "give --champion", id="stage with options"),
    ],
)
def test_bad_options_are_one_clear_error(omnirl, words, message):
    error = omnirl("gate", *words).exception
    assert isinstance(error, ConfigError)
    assert message in str(error)


def test_a_missing_file_is_bad_input(omnirl):
    error = omnirl("gate", "--champion", REFGTA, "--challenger", "none.json").exception
    assert isinstance(error, DataError)
    assert error.exit_code == 2


def test_acc75_of_a_file_without_boxes_is_bad_input(omnirl):
    counting = recorded(f"{COUNTING}_legacy")
    error = omnirl("gate", "--champion", counting, "--challenger", counting, "--margin", "acc75=.1").exception
    assert isinstance(error, DataError)


def test_the_table_for_people_has_verdict_reasons_and_next_step(omnirl):
    done = omnirl("gate", "--champion", REFGTA, "--challenger", recorded("refgta-3b-sft_500"))
    assert done.exit_code == 11
    assert "Verdict: reject" in done.stdout
    assert "71.8 % -> 36.8 %, 15 gained, 190 lost of 500" in done.stdout
    assert "Next: keep the champion" in done.stdout


def test_rescore_prints_exactly_the_promised_fields(omnirl):
    done = omnirl("rescore", recorded("refcoco-3b-baseline"), "--json")
    assert done.exit_code == 0
    expected = {"n": 500, "accuracy": 0.894, "unparsable": 0, "frame": "original_px", "refused": None}
    assert json.loads(done.stdout) == expected


def test_a_refused_rescore_exits_12_and_still_prints_its_json(omnirl, tmp_path):
    def half(row, _generator, _number):
        row["ground_truth"] = [v / 2 for v in row["ground_truth"]]

    done = omnirl("rescore", changed(tmp_path / "x.json", "refgta-3b-r1_500", half), "--json")
    out = json.loads(done.stdout)
    assert (done.exit_code, out["accuracy"], out["frame"], out["n"]) == (12, None, None, 500)
    assert isinstance(out["refused"], str)
