"""Offline scoring: frames, thresholds and statuses, without a model."""

from pathlib import Path

import pytest

from omnirl.config import parse_params
from omnirl.errors import ContractError
from omnirl.evaluate.extract import read_answer
from omnirl.evaluate.score import Answered, score, summarise
from omnirl.io import files
from omnirl.schema.row import Row, Size

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def params():
    return parse_params(files.read_yaml(ROOT / "params.yaml"), where="test")


REC = Row(
    uid="r/1", dataset="r", split="eval", task="rec", problem="where?", answer="[146, 137, 615, 415]", reward="rec_iou",
    images=("a.png",), sizes=(Size(640, 428),), bbox=(146, 137, 615, 415), box_frame="original_px",
)  # fmt: skip
TEXT = REC.model_copy(update={"uid": "t/1", "task": "generative", "answer": "a red cat", "images": (), "bbox": None})


SEEN = (Size(644, 420),)


def said(row, completion, sizes=SEEN):
    return Answered(row.uid, "prompt", completion, 7, sizes)


def test_a_box_in_the_models_frame_is_scored_in_original_pixels(params):
    """Check vector of the Qwen2.5-VL frame: 640 x 428 seen as 644 x 420."""
    record = score(REC, said(REC, "<think>t</think><answer>[147, 134, 619, 407]</answer>"), "s", params)
    assert record.box == pytest.approx((146.1, 136.6, 615.2, 414.8), abs=0.1)
    assert (record.correct, record.status) == (True, "ok")
    assert record.scores == {"iou": pytest.approx(0.997, abs=0.003), "acc50": 1.0, "acc75": 1.0, "format": 1.0}
    assert (record.cluster, record.tokens, record.parsed) == ("r/1", 7, "[147, 134, 619, 407]")


def test_the_second_image_counts_where_the_box_lies_in_it(params):
    row = REC.model_copy(update={"images": ("a", "b"), "sizes": (Size(10, 10), Size(640, 428)), "box_image": 1})
    answer = said(row, "<answer>[147, 134, 619, 407]</answer>", (Size(28, 28), Size(644, 420)))
    assert score(row, answer, "s", params).correct


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("<answer>here</answer>", "unparsable"),
        ("<answer></answer>", "no_answer"),
        ("<think>cut off", "no_answer"),
        ("", "no_answer"),
        ("<answer>[1, 2, 3, 4] [5, 6, 7, 8]</answer>", "unparsable"),
    ],
)
def test_unreadable_is_not_the_same_as_wrong(params, completion, status):
    record = score(REC, said(REC, completion), "s", params)
    assert (record.status, record.box, record.correct, record.scores["iou"]) == (status, None, False, 0.0)


def test_a_wrong_box_is_ok_to_read(params):
    record = score(REC, said(REC, "<answer>[0, 0, 20, 20]</answer>"), "s", params)
    assert (record.status, record.correct) == ("ok", False)


def test_missing_tags_cost_format_not_the_box(params):
    record = score(REC, said(REC, '```json\n[{"bbox_2d": [147, 134, 619, 407]}]\n```'), "s", params)
    assert (record.correct, record.scores["format"]) == (True, 0.0)


def test_right_means_above_the_threshold_not_at_it(params):
    row = REC.model_copy(update={"bbox": (0, 0, 100, 100), "sizes": (Size(644, 420),)})
    at, above = (score(row, said(row, f"<answer>[0, 0, 100, {y}]</answer>"), "s", params) for y in (50, 51))
    assert (at.scores["iou"], at.correct, above.correct) == (0.5, False, True)


def test_text_is_scored_by_the_three_overlaps(params):
    exact = score(TEXT, said(TEXT, "<answer>a red cat</answer>", ()), "s", params)
    other = score(TEXT, said(TEXT, "<answer>no</answer>", ()), "s", params)
    assert exact.scores == {"bleu": 1.0, "rouge": 1.0, "meteor": 1.0, "unified": 1.0, "format": 0.0}
    assert (exact.correct, other.correct, other.scores["unified"]) == (True, False, 0.0)


def test_an_answer_to_another_question_is_never_scored(params):
    with pytest.raises(ContractError, match="answer to t/1"):
        score(REC, said(TEXT, "x"), "s", params)


def test_a_row_without_box_or_with_a_foreign_task_is_an_error(params):
    for change in ({"bbox": None}, {"sizes": ()}, {"task": "mcq"}):
        row = REC.model_copy(update=change)
        with pytest.raises(ContractError, match="r/1"):
            score(row, said(row, "<answer>[1, 2, 3, 4]</answer>"), "s", params)


def test_the_summary_leads_with_the_share_of_right_answers(params):
    completions = ["<answer>[147, 134, 619, 407]</answer>", "<answer>?</answer>"]
    means = summarise([score(REC, said(REC, c), "s", params) for c in completions], params)
    assert next(iter(means)) == "acc50"
    assert (means["acc50"], means["unreadable"], means["tokens"]) == (0.5, 0.5, 7.0)
    assert means["length"] == sum(map(len, completions)) / 2


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("<think>a</think><answer> b </answer>", "b"),
        ("<think>a</think> b", "b"),
        ("plain", "plain"),
        ("<answer>open", None),
        ("<think><answer>a</answer></think>", None),
    ],
)
def test_the_answer_is_the_block_or_without_one_the_text_behind_thinking(completion, text):
    assert read_answer(completion).text == text
