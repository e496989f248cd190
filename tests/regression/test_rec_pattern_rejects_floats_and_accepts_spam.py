"""VLM-R1: the REC pattern took integers without spaces only, and searched in any surrounding junk."""

import pytest

from omnirl.rewards import get
from omnirl.schema.row import Row

ROW = Row(
    uid="r/1", dataset="r", split="train", task="rec", problem="q", answer="[1, 2, 30, 40]", reward="rec_iou",
    images=("a.png",), bbox=(1, 2, 30, 40), box_frame="original_px",
).seen_by("original_px", None)  # fmt: skip


@pytest.mark.parametrize(
    "box", ["[1.0, 2.0, 30.0, 40.0]", "[1 , 2 , 30 , 40]", "[ 1,2,30,40 ]", '```json\n{"bbox_2d": [1, 2, 30, 40]}\n```']
)
def test_every_honest_way_to_write_the_box_is_worth_one(box):
    completion = f"<think>t</think><answer>{box}</answer>"
    assert get("rec_iou")(completion, ROW).value == 1.0
    assert get("format")(completion, ROW).value == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "junk <think>t</think><answer>[1, 2, 30, 40]</answer> junk",
        "<think>t</think><answer>no</answer> {[1, 2, 30, 40]} </answer>",
        "<think></think><answer>[1, 2, 30, 40]</answer>",
        "<think>t</think><answer>[1, 2, 30, 40]</answer>" * 2,
    ],
)
def test_spam_around_the_tags_costs_the_format(completion):
    assert get("format")(completion, ROW).value == 0.0


def test_a_list_of_guesses_is_no_answer():
    guesses = ", ".join(f"[{n}, {n}, {n + 30}, {n + 40}]" for n in range(5))
    score = get("rec_iou")(f"<think>t</think><answer>[1, 2, 30, 40], {guesses}</answer>", ROW)
    assert (score.value, score.status) == (0.0, "unparsable")
