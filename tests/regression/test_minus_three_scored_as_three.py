"""OmniRL: punctuation was deleted, so "-3" against "3" scored 1.0, and "3.5" was "35"."""

import pytest

from omnirl.rewards.text_overlap import Overlap, overlap


@pytest.mark.parametrize(("given", "right"), [("-3", "3"), ("3", "-3"), ("3.5", "35"), ("\u22123", "3")])
def test_another_number_is_worth_nothing(given, right):
    assert overlap(given, right) == Overlap(0.0, 0.0, 0.0)


def test_a_wrong_sign_in_a_sentence_is_not_exact():
    assert max(overlap("-5 apples left", "5 apples left")) < 0.9
    assert overlap("\u22125 apples", "-5 apples") == Overlap(1.0, 1.0, 1.0)
