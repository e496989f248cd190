import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnirl.evaluate.quantities import read_quantity


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("140°", 140, "degree"),
        ("140 degrees", 140, "degree"),
        (r"$70^\circ$", 70, "degree"),
        (r"70^{\circ}", 70, "degree"),
        ("5cm", 5, "centimetre"),
        ("5 m", 5, "metre"),
        ("12 cm^2", 12, "square centimetre"),
        ("10π", 10 * math.pi, None),
        (r"\frac{3}{4}", 0.75, None),
        ("3/4", 0.75, None),
        (r"2\sqrt{3}", 2 * math.sqrt(3), None),
        ("2√3", 2 * math.sqrt(3), None),
        (r"\boxed{12}", 12, None),
        ("-(2+3)^2", -25, None),
        (r"30\text{ cm}", 30, "centimetre"),
        ("1.5.", 1.5, None),
    ],
)
def test_quantities_are_read(text, value, unit):
    found = read_quantity(text)
    assert found is not None
    assert (found.value, found.unit) == (pytest.approx(value), unit)


@pytest.mark.parametrize("text", ["", "AB", "angle 40°", "x = 5", "1/0", "2^", "()", "√", "9^9^9^9", "°", "__import__"])
def test_anything_else_is_none(text):
    assert read_quantity(text) is None


@given(st.text(alphabet="0123456789.+-*/^(){}√π\\sqrtfac °cm", max_size=250))
def test_no_text_breaks_it(text):
    found = read_quantity(text)
    assert found is None or math.isfinite(found.value)
