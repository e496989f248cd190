"""Boxes as each family writes them, and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnirl.errors import ContractError
from omnirl.geometry.iou import iou
from omnirl.models import families
from omnirl.models.codec import decode_box, encode_box
from omnirl.schema.row import Size

ORIGINAL, RESIZED, BOX = Size(640, 428), Size(644, 420), (146.0, 137.0, 615.0, 415.0)
NAMES = sorted(families.FAMILIES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # 146 * 644 / 640 = 146.9, 137 * 420 / 428 = 134.4, 615 * 644 / 640 = 618.8, 415 * 420 / 428 = 407.2
        pytest.param("qwen2.5-vl", '{"bbox_2d": [147, 134, 619, 407], "label": "the cat"}', id="qwen2.5-vl"),
        pytest.param("demo-tiny", "[147, 134, 619, 407]", id="demo-tiny"),
    ],
)
def test_box_is_written_in_the_family_s_frame_and_style(name, text):
    assert encode_box(BOX, families.get(name), ORIGINAL, RESIZED, "the cat") == text


def test_without_a_label_the_json_has_no_place_for_one():
    assert json.loads(encode_box(BOX, families.get("qwen2.5-vl"), ORIGINAL, RESIZED)) == {
        "bbox_2d": [147, 134, 619, 407]
    }


@pytest.mark.parametrize("name", NAMES)
def test_missing_resized_size_is_refused_not_guessed(name):
    with pytest.raises(ContractError, match="needs the resized image size"):
        encode_box(BOX, families.get(name), ORIGINAL, None)
    with pytest.raises(ContractError, match="needs the resized image size"):
        decode_box("[1, 2, 3, 4]", families.get(name), ORIGINAL, None)


@pytest.mark.parametrize("text", ["", "no box", "[1, 2, 3]", "[1, 2, 3, 4] or [5, 6, 7, 8]"])
def test_text_without_one_box_decodes_to_none(text):
    assert decode_box(text, families.get("demo-tiny"), ORIGINAL, RESIZED) is None


@given(
    name=st.sampled_from(NAMES),
    original=st.tuples(st.integers(56, 4000), st.integers(56, 4000)),
    columns=st.integers(2, 40),
    rows=st.integers(2, 40),
    data=st.data(),
)
def test_round_trip_moves_no_corner_by_more_than_half_a_seen_pixel(name, original, columns, rows, data):
    original, resized = Size(*original), Size(28 * columns, 28 * rows)
    x1 = data.draw(st.floats(0, original.width - 2))
    y1 = data.draw(st.floats(0, original.height - 2))
    box = (x1, y1, data.draw(st.floats(x1 + 1, original.width)), data.draw(st.floats(y1 + 1, original.height)))
    back = decode_box(encode_box(box, families.get(name), original, resized), families.get(name), original, resized)
    assert back is not None
    half = (0.5 * original.width / resized.width, 0.5 * original.height / resized.height) * 2
    assert all(abs(a - b) <= h * (1 + 1e-9) for a, b, h in zip(box, back, half, strict=True))


def test_whole_box_survives_the_round_trip_with_iou_one():
    family, whole = families.get("qwen2.5-vl"), (0.0, 0.0, 640.0, 428.0)
    back = decode_box(encode_box(whole, family, ORIGINAL, RESIZED), family, ORIGINAL, RESIZED)
    assert back is not None
    assert iou(whole, back) == pytest.approx(1.0)
