"""OmniRL: every character outside `[a-zA-Z0-9]` was deleted, so only the Latin part of an answer counted."""

import pytest

from omnirl.rewards.text_overlap import Overlap, overlap


@pytest.mark.parametrize(
    "text", ["你好世界", "日本語の文章です", "α β γ δ", "привет мир", "안녕 세계", "مرحبا بالعالم"]
)
def test_exact_answer_in_any_script_is_worth_one(text):
    assert overlap(text, text) == Overlap(1.0, 1.0, 1.0)


def test_a_wrong_chinese_part_beside_a_right_latin_part_is_not_exact():
    assert max(overlap("北京 abc def", "上海 abc def")) < 0.8


def test_a_nearly_exact_chinese_answer_is_worth_more_than_half():
    assert min(overlap("北京是中国的首都", "北京是中国首都")) > 0.5
