"""Registry, promises of `Reward`, the weighted sum and the check of scales."""

import math

import pytest
from pydantic import ValidationError

from omnirl.config import RewardPart, Rewards, UnifiedAccuracy
from omnirl.errors import ConfigError, RewardError
from omnirl.rewards import Reward, build, get, names, scale_warnings
from omnirl.schema.row import Row
from omnirl.schema.score import Score

WEIGHTS = UnifiedAccuracy(bleu=1, rouge=1, meteor=0)
TEXT = Row(
    uid="text/7", dataset="text", split="train", task="generative", problem="cat, mat", answer="the cat sat",
    reward="unified_accuracy",
)  # fmt: skip
RIGHT = "<think>t</think><answer>the cat sat</answer>"


def settings(*parts, weights=WEIGHTS):
    return Rewards(parts=tuple(RewardPart(name=n, weight=w) for n, w in parts), unified_accuracy=weights)


def reward(function):
    return Reward("fake", 3, 0.0, 1.0, "none", "none", function)


def test_the_three_rewards_are_registered_with_title_range_and_source():
    assert names() == ("format", "rec_iou", "unified_accuracy")
    for name in names():
        found = get(name)
        assert found.title == f"{name}@1" == f"{found.name}@{found.version}"
        assert (found.low, found.high) == (0.0, 1.0)
        assert found.reference
        assert found.summary
        assert get(f"{name}@1").title == found.title


@pytest.mark.parametrize(
    ("name", "message"), [("formal", "did you mean format"), ("format@2", "has format@1"), ("x", "known")]
)
def test_an_unknown_reward_names_the_nearest(name, message):
    with pytest.raises(ConfigError, match=message):
        get(name)


def test_a_crash_is_an_error_that_names_reward_and_row_never_zero():
    def crash(completion, row):
        raise KeyError("label")

    with pytest.raises(RewardError, match=r"fake@3, row text/7: .*KeyError: 'label'"):
        reward(crash)("", TEXT)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.0000001])
def test_a_value_outside_the_declared_range_is_an_error(value):
    with pytest.raises(RewardError, match=r"fake@3, row text/7: returned .*0\.\.1"):
        reward(lambda c, r: Score(value))("", TEXT)


def test_the_sum_is_weighted_and_accuracy_is_the_rows_own_reward():
    mix = build(settings(("accuracy", 2.0), ("format", 0.5)))
    mixed = mix.score("<think>t</think><answer>the cat</answer>", TEXT)
    bleu, rouge = math.exp(1 - 3 / 2), 0.8  # both n-gram orders match in full, brevity 3 to 2; 2 of 2, 2 of 3
    assert mixed.parts["accuracy"].parts["bleu"] == pytest.approx(bleu)
    assert mixed.parts["accuracy"].value == pytest.approx((bleu + rouge) / 2)
    assert mixed.total == pytest.approx(bleu + rouge + 0.5)
    assert mix.score(RIGHT, TEXT).total == 2.5
    assert mix.reward("accuracy", TEXT).title == "unified_accuracy@1"


def test_a_part_that_does_not_concern_the_row_adds_nothing():
    mixed = build(settings(("accuracy", 1.0), ("rec_iou", 9.0))).score(RIGHT, TEXT)
    assert mixed.total == 1.0
    assert mixed.parts["rec_iou"].status == "not_applicable"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("format", 1.0), ("format", 2.0)], "stands twice"),
        ([("format", math.inf)], "finite"),
        ([("format", 0.0)], "all weights are 0"),
        ([("fromat", 1.0)], "did you mean format"),
    ],
)
def test_a_sum_that_cannot_be_meant_is_refused(parts, message):
    with pytest.raises(ConfigError, match=message):
        build(settings(*parts))


def test_unified_weights_must_not_all_be_zero():
    with pytest.raises(ConfigError, match="all three weights are 0"):
        build(settings(("accuracy", 1.0), weights=UnifiedAccuracy(bleu=0, rouge=0, meteor=0)))
    with pytest.raises(ValidationError):
        UnifiedAccuracy(bleu=-1, rouge=1, meteor=1)


def test_a_row_with_an_unknown_reward_is_named():
    with pytest.raises(RewardError, match=r"row text/7: names the reward 'bleurt'"):
        build(settings(("accuracy", 1.0))).score("", TEXT.model_copy(update={"reward": "bleurt"}))


def test_a_row_without_an_answer_is_a_data_error():
    with pytest.raises(RewardError, match=r"unified_accuracy@1, row text/7: .*answer is empty"):
        get("unified_accuracy")(RIGHT, TEXT.model_copy(update={"answer": " "}))


def test_unequal_scales_are_said_in_words():
    accuracy, length = [1, 0.2, 0.6, 0], [480, 500, 460, 495]  # the example of OmniRL's README
    spread = [math.sqrt(sum((x - sum(v) / 4) ** 2 for x in v) / 4) for v in (accuracy, length)]
    assert scale_warnings({"accuracy": accuracy, "length": length}) == [
        f"length spreads {spread[1] / spread[0]:.1f} times as much as accuracy (standard deviation 15.6 against "
        "0.384), so accuracy will be learnt slowly; bring their weights closer"
    ]


def test_parts_of_like_spread_or_without_any_are_not_worth_a_word():
    assert scale_warnings({"accuracy": [0, 1, 0, 1], "format": [0, 0, 0.3, 0.3]}) == []
    assert scale_warnings({"accuracy": [0, 1, 0, 1], "format": [1, 1, 1, 1]}) == []
    assert scale_warnings({"accuracy": [1.0], "format": [0.0]}) == []
