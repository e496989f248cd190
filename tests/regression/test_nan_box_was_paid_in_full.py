"""VLM-R1: a box of NaN was paid 1.0; a NaN reward poisons its whole group."""

import pytest

from omnirl.rewards import get
from omnirl.schema.row import Row

ROW = Row(
    uid="r/1", dataset="r", split="train", task="rec", problem="q", answer="[1, 2, 30, 40]", reward="rec_iou",
    images=("a.png",), bbox=(1, 2, 30, 40), box_frame="original_px",
).seen_by("original_px", None)  # fmt: skip


@pytest.mark.parametrize("number", ["NaN", "nan", "Infinity", "-inf", "1e999", "-1e999"])
def test_a_box_that_is_not_finite_is_unparsable(number):
    score = get("rec_iou")(f"<think>t</think><answer>[{number}, 2, 30, 40]</answer>", ROW)
    assert (score.value, score.status) == (0.0, "unparsable")


def test_a_box_of_one_pixel_is_a_box():
    row = ROW.model_copy(update={"bbox": (5.0, 5.0, 6.0, 6.0)})
    assert get("rec_iou")("<answer>[5, 5, 6, 6]</answer>", row).value == 1.0
