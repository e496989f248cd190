"""Box frames: published check vectors, round trips, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnirl.errors import ContractError
from omnirl.geometry.frames import convert_box, is_box
from omnirl.geometry.iou import iou
from omnirl.schema.row import Size

ORIGINAL, RESIZED, BOX = Size(640, 428), Size(644, 420), (146.0, 137.0, 615.0, 415.0)
sides = st.integers(min_value=1, max_value=5000)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("per_mille", (228, 320, 961, 970), id="qwen2-vl"),
        pytest.param("resized_px", (147, 134, 619, 407), id="qwen2.5-vl"),
    ],
)
def test_matches_the_published_check_vectors(target, expected):
    converted = convert_box(BOX, source="original_px", target=target, original=ORIGINAL, resized=RESIZED)
    assert tuple(round(v) for v in converted) == expected


def test_missing_resized_size_is_refused_not_guessed():
    with pytest.raises(ContractError, match="needs the resized image size"):
        convert_box(BOX, source="resized_px", target="original_px", original=ORIGINAL)


@given(
    st.tuples(sides, sides), st.tuples(sides, sides), st.sampled_from(["resized_px", "per_mille"]),
    st.tuples(*[st.floats(0, 1)] * 4),
)  # fmt: skip
def test_there_and_back_is_the_same_box(original, resized, frame, unit):
    box = (unit[0] * original[0], unit[1] * original[1], unit[2] * original[0], unit[3] * original[1])
    sizes = {"original": Size(*original), "resized": Size(*resized)}
    there = convert_box(box, source="original_px", target=frame, **sizes)
    back = convert_box(there, source=frame, target="original_px", **sizes)
    assert back == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize(
    ("box", "sound"),
    [
        ((0, 0, 1, 1), True), ((0, 0, 10, 10), True), ((-1, 0, 5, 5), False), ((0, 0, 11, 10), False),
        ((5, 0, 5, 5), False), ((5, 5, 0, 0), False), ((0, 0, float("nan"), 1), False), ((0, 0, float("inf"), 1), False),
    ],
)  # fmt: skip
def test_a_box_is_finite_not_empty_and_inside(box, sound):
    assert is_box(box, extent=Size(10, 10)) is sound


def test_iou_by_hand():
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 1, 1), (0, 0, 1, 1)) == 1.0
    assert iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0
    assert iou((2, 2, 1, 1), (0, 0, 3, 3)) == 0.0


def test_a_one_pixel_and_a_normalised_box_match_themselves():
    """VLM-R1's "+1 pixel" scheme scores both 0."""
    assert iou((5, 5, 6, 6), (5, 5, 6, 6)) == 1.0
    assert iou((0.1, 0.1, 0.4, 0.5), (0.1, 0.1, 0.4, 0.5)) == 1.0
