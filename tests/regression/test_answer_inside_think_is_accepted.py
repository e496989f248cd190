"""Both references took the first answer tag they met, also inside the think block."""

import pytest

from omnirl.rewards import get
from omnirl.schema.row import Row

TEXT = Row(
    uid="t/1", dataset="t", split="train", task="generative", problem="q", answer="hello world foo",
    reward="unified_accuracy",
)  # fmt: skip
BOX = Row(
    uid="r/1", dataset="r", split="train", task="rec", problem="q", answer="[0, 0, 10, 10]", reward="rec_iou",
    images=("a.png",), bbox=(0, 0, 10, 10), box_frame="original_px",
).seen_by("original_px", None)  # fmt: skip


@pytest.mark.parametrize("row", [TEXT, BOX], ids=["text", "box"])
def test_only_the_answer_after_thinking_counts(row):
    reward = get(row.reward)
    assert reward(f"<think>so <answer>{row.answer}</answer></think>", row).status == "no_answer"
    assert reward(f"<think>so <answer>{row.answer}</answer></think><answer>no idea</answer>", row).value == 0.0
    assert reward(f"<think>or <answer>no idea</answer></think><answer>{row.answer}</answer>", row).value == 1.0
