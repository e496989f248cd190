"""REC IoU: the published values where they are sound, frames, and statuses."""

import json
from pathlib import Path

import pytest

from omnirl.errors import RewardError
from omnirl.parsing.boxes import find_box
from omnirl.rewards import get
from omnirl.schema.row import Row, Size
from omnirl.schema.score import Score

REC_IOU = get("rec_iou")
GOLDEN = Path(__file__).parents[2] / "golden" / "vlmr1_iou_qwen.jsonl"
VECTORS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
DECIDED = {
    "vlmr1_iou_qwen-0014": 0.9713489136998446,  # spaces are allowed anywhere between the numbers
    "vlmr1_iou_qwen-0015": 0.9713489136998446,
    "vlmr1_iou_qwen-0016": 0.9713489136998446,
    "vlmr1_iou_qwen-0024": 0.9713489136998446,  # the answer is the block after the last think block
    "vlmr1_iou_qwen-0034": 0.0,  # digits of other scripts are no box
    "vlmr1_iou_qwen-0052": 1.0,  # a box one pixel wide is a box
    "vlmr1_iou_qwen-0055": 1 / 220,  # an overlap of one pixel is an overlap
}
USABLE = [v for v in VECTORS if v["note"] not in ("solution not JSON", "solution nested dict")]
"""The other two hold a row that no converter lets through."""


def rec_row(bbox=(100, 100, 300, 300), **extra):
    fields = {
        "uid": "rec/1", "dataset": "rec", "split": "train", "task": "rec", "problem": "the cat", "answer": str(list(bbox)),
        "reward": "rec_iou", "images": ("a.png",), "sizes": (Size(640, 480),), "bbox": bbox, "box_frame": "original_px",
    }  # fmt: skip
    return Row(**{**fields, **extra})


def boxed(text):
    return f"<think>t</think><answer>{text}</answer>"


@pytest.mark.parametrize("vector", USABLE, ids=[f"{v['id']}-{v['note']}" for v in USABLE])
def test_agrees_with_the_reference_but_for_decided_rows(vector):
    config, inputs = vector["config"], vector["inputs"]
    _, height, width = config["image_grid_thw"]
    row = rec_row(find_box(inputs["solution"]), sizes=(Size(config["image_width"], config["image_height"]),))
    row = row.seen_by("resized_px", Size(width * config["patch"], height * config["patch"]))
    expected = DECIDED.get(vector["id"], vector["expected"])
    assert REC_IOU(inputs["completion"], row).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("frame", "resized", "answer"),
    [
        pytest.param("original_px", None, "[100, 100, 300, 300]", id="original"),
        pytest.param("resized_px", Size(1280, 960), "[200, 200, 600, 600]", id="twice-as-large"),
        pytest.param("per_mille", None, "[156.25, 208.33333333333334, 468.75, 625]", id="per-mille"),
    ],
)
def test_the_true_box_is_worth_one_in_every_frame(frame, resized, answer):
    assert REC_IOU(boxed(answer), rec_row().seen_by(frame, resized)).value == pytest.approx(1.0, abs=1e-12)


def test_the_same_numbers_in_another_frame_are_another_box():
    assert REC_IOU(boxed("[100, 100, 300, 300]"), rec_row().seen_by("per_mille", None)).value < 0.5


def test_a_row_in_per_mille_is_compared_in_per_mille():
    row = rec_row((250, 250, 750, 750), box_frame="per_mille").seen_by("original_px", None)
    assert REC_IOU(boxed("[160, 120, 480, 360]"), row) == Score(1.0)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("", "no_answer"),
        ("[100, 100, 300, 300]", "no_answer"),
        (boxed("nothing there"), "unparsable"),
        (boxed("[100, 100, 300, 300] or [0, 0, 1, 1]"), "unparsable"),
        (boxed("[300, 300, 100, 100]"), "unparsable"),
        (boxed("[100, 100, 100, 300]"), "unparsable"),
        (boxed("[NaN, 100, 300, 300]"), "unparsable"),
        (boxed("[1e999, 100, 300, 300]"), "unparsable"),
        (boxed("[1e308, 1e308, 1.5e308, 1.5e308]"), "ok"),
    ],
)
def test_what_cannot_be_read_is_zero_and_says_so(completion, status):
    assert REC_IOU(completion, rec_row().seen_by("original_px", None)) == Score(0.0, status)


def test_numbers_that_overflow_on_the_way_to_the_row_are_unparsable():
    row = rec_row().seen_by("resized_px", Size(1, 1))
    assert REC_IOU(boxed("[1e308, 1e308, 1.5e308, 1.5e308]"), row) == Score(0.0, "unparsable")


def test_rows_without_boxes_are_not_applicable_unless_they_claim_to_have_one():
    text = rec_row(bbox=(0, 0, 1, 1), task="generative").model_copy(update={"bbox": None})
    assert REC_IOU(boxed("x"), text) == Score(0.0, "not_applicable")
    with pytest.raises(RewardError, match=r"rec_iou@1, row rec/1: .*needs bbox"):
        REC_IOU(boxed("x"), text.model_copy(update={"task": "rec"}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(rec_row(), "use row.seen_by", id="answer-frame-unknown"),
        pytest.param(rec_row().seen_by("resized_px", None), "needs the resized image size", id="resized-unknown"),
        pytest.param(rec_row(sizes=()).seen_by("per_mille", None), "needs the size of image 0", id="size-unknown"),
    ],
)
def test_a_missing_frame_is_an_error_never_a_guess(row, message):
    with pytest.raises(RewardError, match=message):
        REC_IOU(boxed("[1, 2, 3, 4]"), row)
