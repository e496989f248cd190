"""Boxes in text: every honest way to write one, and what is no box."""

import math

import pytest

from omnirl.parsing.boxes import MAX_BOXES, find_box, find_boxes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[1, 2, 3, 4]", (1, 2, 3, 4), id="list"),
        pytest.param("[1,2,3,4]", (1, 2, 3, 4), id="no-spaces"),
        pytest.param("[ 1 , 2\n,\t3 ,4 ]", (1, 2, 3, 4), id="any-spacing"),
        pytest.param("[1.5, .5, 3., 4e1]", (1.5, 0.5, 3, 40), id="floats"),
        pytest.param("[-1, +2, 3, 4]", (-1, 2, 3, 4), id="signs"),
        pytest.param("[[1, 2, 3, 4]]", (1, 2, 3, 4), id="nested-list"),
        pytest.param('{"bbox_2d": [1, 2, 3, 4]}', (1, 2, 3, 4), id="json"),
        pytest.param('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a [b]"}]\n```', (1, 2, 3, 4), id="fenced-json"),
        pytest.param("It is at [1, 2, 3, 4], I think.", (1, 2, 3, 4), id="in-a-sentence"),
        pytest.param("[1,2,3,4] [1, 2, 3, 4.0]", (1, 2, 3, 4), id="the-same-twice"),
        pytest.param("[1,2,3,4] [1,2,3,5]", None, id="two-different"),
        pytest.param("[1,2,3]", None, id="three-numbers"),
        pytest.param("[1,2,3,4,5]", None, id="five-numbers"),
        pytest.param("[1 2 3 4]", None, id="no-commas"),
        pytest.param("(1,2,3,4)", None, id="round-brackets"),
        pytest.param('["1","2","3","4"]', None, id="strings"),
        pytest.param("[NaN, 2, 3, 4]", None, id="nan"),
        pytest.param("[1, 2, 3, Infinity]", None, id="infinity"),
        pytest.param("[1, 2, 3, 1e999]", None, id="overflow"),
        pytest.param("[１,２,３,４]", None, id="full-width-digits"),
        pytest.param("[٣, ٤, ٥, ٦]", None, id="arabic-digits"),
        pytest.param("[1,2,3," + "9" * 40 + "]", None, id="more-digits-than-any-pixel"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_one_distinct_box_or_none(text, expected):
    assert find_box(text) == expected


def test_all_boxes_come_out_in_order_as_written():
    assert find_boxes("[5,6,1,2] x [1,2,3,1e999]") == [(5, 6, 1, 2), (1, 2, 3, math.inf)]


def test_a_flood_of_boxes_is_cut_at_the_limit_and_is_no_answer():
    flood = "[1,2,3,4]" * (MAX_BOXES + 5)
    assert len(find_boxes(flood)) == MAX_BOXES
    assert find_box(flood) is None
