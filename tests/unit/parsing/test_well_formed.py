"""The strict layout, against what the published patterns accept and should not."""

import json
from pathlib import Path

import pytest

from omnirl.parsing.layout import is_well_formed

GOLDEN = Path(__file__).parents[2] / "golden" / "omnirl_format.jsonl"
VECTORS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{v['id']}-{v['note']}" for v in VECTORS])
def test_agrees_with_the_reference_or_its_sane_value(vector):
    sane = vector.get("sane")
    expected = sane if isinstance(sane, int | float) else vector["expected"]
    assert is_well_formed(vector["inputs"]["completion"]) == bool(expected)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        pytest.param(" <think>a</think>\n<answer>b</answer>\n", True, id="white-space-around"),
        pytest.param("<think>\u200b</think><answer>b</answer>", False, id="invisible-thought"),
        pytest.param("<think>a</think><answer>\u200b</answer>", False, id="invisible-answer"),
        pytest.param("<answer>b</answer><think>a</think>", False, id="answer-first"),
        pytest.param("<think>a</think><answer>b</answer></answer>", False, id="closed-twice"),
        pytest.param("<think>a</think><answer>b", False, id="truncated"),
        pytest.param("<think>a < b</think><answer><b></answer>", True, id="other-brackets-are-text"),
    ],
)
def test_only_white_space_may_stand_around_two_blocks(completion, expected):
    assert is_well_formed(completion) is expected
