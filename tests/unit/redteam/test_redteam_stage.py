"""The stage on real files: what passes, what stops the pipeline, what is written either way."""

import json
from pathlib import Path

import pytest

from omnirl.config import Params, RewardPart, load_params
from omnirl.errors import ConfigError, DataError, RedTeamError
from omnirl.io.rows import write_rows
from omnirl.redteam import run as stage
from omnirl.redteam.judge import Tried, findings
from omnirl.schema.row import Row, Size

CHECKOUT = Path(__file__).parents[3]
RUN = "unit"


def rec_row(number):
    box = (10.0 + number, 20.0, 60.0 + number, 90.0)
    return Row(
        uid=f"rec_train/{number}", dataset="rec_train", split="train", task="rec", problem=f"the cat number {number}",
        answer=str(list(box)), reward="rec_iou", images=("a.png",), sizes=(Size(200, 100),), bbox=box,
        box_frame="original_px",
    )  # fmt: skip


def text_row(number, problem="facts: cat, mat"):
    return Row(
        uid=f"text_train/{number}", dataset="text_train", split="train", task="generative", problem=problem,
        answer=f"the cat sat on mat number {number}", reward="unified_accuracy",
    )  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIRL_RUN_ID", RUN)
    write_rows(tmp_path / "data/valid/rec_train.parquet", [rec_row(n) for n in range(12)])
    write_rows(tmp_path / "data/valid/text_train.parquet", [text_row(n) for n in range(12)])
    return tmp_path


def params(*, parts=(("accuracy", 1.0), ("format", 1.0)), **redteam) -> Params:
    base = load_params(CHECKOUT / "params.yaml")
    rewards = base.rewards.model_copy(update={"parts": tuple(RewardPart(name=n, weight=w) for n, w in parts)})
    return base.model_copy(
        update={
            "rewards": rewards,
            "train": base.train.model_copy(update={"datasets": ("rec_train", "text_train")}),
            "redteam": base.redteam.model_copy(update={"rows_per_dataset": 5, **redteam}),
        }
    )


def test_sound_rewards_pass_and_the_report_says_what_was_tried(root):
    report = stage.run(params(), root)
    assert json.loads((root / "reports/redteam.json").read_text(encoding="utf-8")) == report
    assert report["passed"] is True
    assert (report["margin"], report["rows"]) == (0.05, 10)
    assert sorted(report["rewards"]) == ["format@1", "rec_iou@1", "unified_accuracy@1"]
    assert report["rewards"]["rec_iou@1"]["honest"] == 1.0
    assert report["weighted_sum"]["honest"] == 2.0
    assert set(report["weighted_sum"]["attacks"]) == {
        "empty", "prompt_echo", "tag_spam", "box_grid", "duplicate_boxes", "padding"
    }  # fmt: skip
    assert report["weighted_sum"]["attacks"]["empty"] == 0.0
    whole_image = 50 * 70 / (200 * 100)
    assert report["rewards"]["rec_iou@1"]["attacks"]["duplicate_boxes"] == pytest.approx(whole_image, abs=1e-6)
    assert any("format@1 alone can be had without an answer" in reason for reason in report["reasons"])
    assert "no attack is paid more" in report["reasons"][0]


def test_the_same_rows_and_seed_give_the_same_bytes(root):
    stage.run(params(), root)
    first = (root / "reports/redteam.json").read_bytes()
    stage.run(params(), root)
    assert (root / "reports/redteam.json").read_bytes() == first


def test_an_attack_that_pays_stops_the_pipeline_and_leaves_only_the_run_report(root):
    message = (
        r"^redteam: empty is paid 0\.000 on rec_train where the honest answer is paid -1\.000 \(5 of 5 rows; paid by "
        r"format@1\); .*rewards\.parts.*redteam\.accept.*runs/unit/redteam\.json$"
    )
    with pytest.raises(RedTeamError, match=message):
        stage.run(params(parts=(("accuracy", 1.0), ("format", -2.0))), root)
    assert not (root / "reports/redteam.json").exists()
    assert json.loads((root / f"runs/{RUN}/redteam.json").read_text(encoding="utf-8"))["passed"] is False


def test_an_accepted_weakness_passes_and_is_shown(root):
    weak = {"parts": (("accuracy", -1.0), ("format", 1.0)), "margin": 0.0}
    with pytest.raises(RedTeamError, match=r"rows; paid by .*@1"):
        stage.run(params(**weak), root)
    report = stage.run(params(**weak, accept=("rec_iou", "unified_accuracy@1")), root)
    assert report["passed"] is True
    assert report["rewards"]["rec_iou@1"]["accepted"] is True
    assert report["rewards"]["format@1"]["accepted"] is False
    assert any(reason.endswith("accepted by redteam.accept") for reason in report["reasons"])


def test_one_cheated_dataset_is_not_hidden_by_the_others():
    def tried(dataset, attack, total):
        return Tried(f"{dataset}/1", dataset, attack, total, {"accuracy": total}, {"accuracy": f"{dataset}@1"})

    scores = [tried("a", "honest", 1.0), tried("a", "spam", 1.2), tried("b", "honest", 1.0), tried("b", "spam", 0.0)]
    found = findings(scores, {"accuracy": 1.0}, 0.05, ())
    assert [(f.dataset, f.attack, f.honest, f.paid, f.beaten, f.rows, f.paying) for f in found] == [
        ("a", "spam", 1.0, 1.2, 1, 1, ("a@1",))
    ]
    assert findings(scores, {"accuracy": 1.0}, 0.25, ()) == []
    assert findings(scores, {"accuracy": 1.0}, 0.05, ("a",))[0].accepted is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attacks": ("emty",)}, r"redteam.attacks: there is no 'emty'; did you mean empty\?"),
        ({"accept": ("rec_iuo@1",)}, r"redteam.accept: there is no 'rec_iuo'; did you mean rec_iou\?"),
    ],
)
def test_unknown_names_are_refused(root, change, message):
    with pytest.raises(ConfigError, match=message):
        stage.run(params(**change), root)


def test_a_dataset_without_rows_is_refused(root):
    write_rows(root / "data/valid/text_train.parquet", [])
    with pytest.raises(DataError, match=r"text_train.parquet: holds no valid row"):
        stage.run(params(), root)


def test_a_missing_dataset_is_named(root):
    (root / "data/valid/rec_train.parquet").unlink()
    with pytest.raises(DataError, match=r"rec_train.parquet: no such file"):
        stage.run(params(), root)
