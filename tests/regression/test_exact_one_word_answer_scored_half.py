"""OmniRL: BLEU-2 of one token is 0, so an exact one-word answer scored .5."""

import pytest

from omnirl.rewards.text_overlap import Overlap, overlap


@pytest.mark.parametrize("word", ["yes", "42", "A", "是", "!!!"])
def test_exact_one_word_answer_is_worth_one(word):
    assert overlap(word, word) == Overlap(1.0, 1.0, 1.0)


def test_one_word_out_of_many_is_not():
    assert overlap("the", "the cat sat on the mat").bleu < 0.01
    assert overlap("the cat sat on the mat", "mat").bleu == pytest.approx(1 / 6)
