"""Promises that every registered reward keeps, on any text."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnirl.parsing.answer import find_answer
from omnirl.parsing.boxes import find_box, find_boxes
from omnirl.parsing.layout import is_well_formed
from omnirl.redteam.attacks import ATTACKS, honest, write_box
from omnirl.rewards import get, names
from omnirl.rewards.tokens import _TOKEN, _TOKEN_ASCII, tokenise
from omnirl.schema.row import Row, Size

PIECES = [
    "<think>", "</think>", "<answer>", "</answer>", "[", "]", "{", "}", "```json", "[1, 2, 3, 4]", '{"bbox_2d": [',
    "NaN", "1e999", "-", ".", "3.5", "cat", "the", "是", "\u200b", "\0", "\ud800", "٣", "²", "\n", " ", "</", "<",
]  # fmt: skip
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=60),  # surrogates and NUL included
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
)
BOXES = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    *[st.floats(0, 400, allow_nan=False).map(lambda v: round(v, 3))] * 2,
    *[st.floats(1, 200, allow_nan=False).map(lambda v: round(v, 3))] * 2,
)
ANSWERS = st.text(min_size=1, max_size=30).filter(
    lambda t: find_answer(f"<answer>{t}</answer>").text == t.strip() and "<think>" not in t
)


def box_row(box=(100.0, 50.0, 300.0, 200.0)):
    return Row(
        uid="rec/1", dataset="rec", split="train", task="rec", problem="where is the cat?", answer=write_box(box),
        reward="rec_iou", images=("a.png",), sizes=(Size(640, 480),), bbox=box, box_frame="original_px",
    ).seen_by("original_px", None)  # fmt: skip


def text_row(answer="the cat is on the mat"):
    return Row(
        uid="text/1", dataset="text", split="train", task="generative", problem="facts: cat, mat", answer=answer,
        reward="unified_accuracy",
    )  # fmt: skip


ROWS = [box_row(), text_row()]


@pytest.mark.parametrize("name", names())
@given(completion=ANY_TEXT)
def test_value_is_finite_and_in_range_on_any_text(name, completion):
    reward = get(name)
    for row in ROWS:
        score = reward(completion, row)
        assert isinstance(score.value, float)
        assert math.isfinite(score.value)
        assert reward.low <= score.value <= reward.high
        assert score.status in ("ok", "no_answer", "unparsable", "not_applicable")


@pytest.mark.parametrize("name", names())
@given(completion=ANY_TEXT, others=st.lists(ANY_TEXT, max_size=3))
def test_value_does_not_depend_on_what_was_scored_before(name, completion, others):
    alone = [get(name)(completion, row) for row in ROWS]
    for other in others:
        for row in ROWS:
            get(name)(other, row)
    assert [get(name)(completion, row) for row in ROWS] == alone


@pytest.mark.parametrize("name", names())
@given(content=ANY_TEXT)
def test_without_a_readable_answer_there_is_nothing_but_the_lowest_value(name, content):
    completion = f"<think>t</think>{content}"
    for row in ROWS:
        score = get(name)(completion, row)
        if find_answer(completion).status != "ok":
            assert score.value == get(name).low


@given(answer=ANSWERS)
def test_exact_text_in_any_script_is_worth_the_maximum(answer):
    row = text_row(answer)
    if tokenise(answer) and find_answer(honest(row)).text is not None:
        assert get("unified_accuracy")(honest(row), row).value == 1.0


@given(box=BOXES)
def test_exact_box_is_worth_the_maximum(box):
    assert get("rec_iou")(honest(box_row(box)), box_row(box)).value == 1.0


@given(box=BOXES, guess=BOXES, scale=st.sampled_from([0.5, 2.0, 4.0, 1024.0]))
def test_scaling_both_boxes_changes_nothing(box, guess, scale):
    def value(factor):
        mine, truth = (tuple(v * factor for v in b) for b in (guess, box))
        return get("rec_iou")(f"<answer>{write_box(mine)}</answer>", box_row(truth)).value

    assert value(scale) == pytest.approx(value(1.0), abs=1e-12)


@given(box=BOXES, guess=BOXES)
def test_the_frame_a_model_writes_in_does_not_change_its_reward(box, guess):
    seen = Size(1280, 240)
    row = box_row(box)
    resized = write_box((guess[0] * 2, guess[1] / 2, guess[2] * 2, guess[3] / 2))
    mille = write_box((guess[0] / 0.64, guess[1] / 0.48, guess[2] / 0.64, guess[3] / 0.48))
    expected = get("rec_iou")(f"<answer>{write_box(guess)}</answer>", row).value
    for text, known in ((resized, row.seen_by("resized_px", seen)), (mille, row.seen_by("per_mille", None))):
        assert get("rec_iou")(f"<answer>{text}</answer>", known).value == pytest.approx(expected, abs=1e-9)


@given(box=BOXES, extra=BOXES)
def test_a_second_box_never_raises_the_reward(box, extra):
    row = box_row(box)
    one, two = (f"<answer>{write_box(box)}{more}</answer>" for more in ("", write_box(extra)))
    assert get("rec_iou")(two, row).value <= get("rec_iou")(one, row).value


@given(
    words=st.lists(st.sampled_from(["cat", "cats", "mat", "red", "是", "3.5"]), min_size=1, max_size=8), data=st.data()
)
def test_a_wrong_word_never_raises_bleu_or_rouge_of_an_exact_answer(words, data):
    row = text_row(" ".join(words))
    place = data.draw(st.integers(0, len(words)))
    spoilt = [*words[:place], "zebra", *words[place:]]
    found = get("unified_accuracy")(f"<answer>{' '.join(spoilt)}</answer>", row)
    assert found.value < 1.0
    assert max(found.parts["bleu"], found.parts["rouge"], found.parts["meteor"]) < 1.0


@pytest.mark.parametrize("attack", sorted(ATTACKS))
@given(seed=st.integers(0, 10**6), box=BOXES, answer=ANSWERS)
def test_no_attack_beats_the_honest_answer(attack, seed, box, answer):
    for row in (box_row(box), text_row(answer)):
        if find_answer(honest(row)).text is None:
            continue
        for name in (row.reward, "format"):
            assert get(name)(ATTACKS[attack](row, Random(seed)), row).value <= get(name)(honest(row), row).value


@given(text=ANY_TEXT)
def test_parsers_never_raise_and_agree_with_each_other(text):
    answer = find_answer(text)
    assert (answer.text is None) == (answer.status != "ok")
    if is_well_formed(text):
        assert answer.status == "ok"
    box = find_box(text)
    assert box is None or box in find_boxes(text)


@given(text=st.text(st.characters(max_codepoint=127), max_size=80))
@settings(max_examples=300)
def test_the_quick_ascii_tokens_are_the_unicode_tokens(text):
    assert _TOKEN_ASCII.findall(text.lower()) == _TOKEN.findall(text.lower())
