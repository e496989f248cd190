r"""Read one quantity from a short text: `140°`, `2\sqrt{3} cm`, `10π`, `3/4`, `\boxed{12}`.

A small recursive parser of its own, linear in its input; nothing is ever evaluated as code. Knows
what a number is and which units exist, not what a right answer is.
"""

import math
import re
from typing import NamedTuple

MAX_CHARACTERS = 200
"""Longer texts are no quantity."""
_UNITS = {
    "degree": ("°", "degrees", "degree", "deg", "^\\circ", "^{\\circ}", "\\circ", "º", "˚"),
    "square centimetre": ("cm^2", "cm^{2}", "cm²", "cm2"),
    "square metre": ("m^2", "m^{2}", "m²"),
    "centimetre": ("cm", "centimeters", "centimetres"),
    "millimetre": ("mm",),
    "kilometre": ("km",),
    "metre": ("m", "meters", "metres", "米"),
    "percent": ("%", "\\%"),
}
_SUFFIXES = sorted(((s, unit) for unit, spellings in _UNITS.items() for s in spellings), key=lambda p: -len(p[0]))
_WRAPPERS = (re.compile(r"\\text\s*\{([^{}]*)\}"), re.compile(r"\\mathrm\s*\{([^{}]*)\}"))
_PART = re.compile(r"\s*(\d{1,30}(?:\.\d{1,30})?|\.\d{1,30}|\\d?frac|\\sqrt|√|\\pi|π|\\times|\\cdot|[-+*/^(){}])")


class Quantity(NamedTuple):
    """A value and its unit; None where no unit was written."""

    value: float
    unit: str | None


def read_quantity(text: str) -> Quantity | None:
    r"""The quantity that `text` as a whole is; None when it is something else; never raises.

    Example:
        >>> read_quantity("140°"), read_quantity("$2\\sqrt{3}$ cm").unit, read_quantity("AB = 5")
        (Quantity(value=140.0, unit='degree'), 'centimetre', None)
    """
    if len(text) > MAX_CHARACTERS:
        return None
    for wrapper in _WRAPPERS:
        text = wrapper.sub(r"\1", text)
    text = text.replace("$", "").strip().rstrip(".。").strip()
    if text.startswith("\\boxed{") and text.endswith("}"):
        text = text[len("\\boxed{") : -1].strip()
    unit = next((u for s, u in _SUFFIXES if text.endswith(s) and len(text) > len(s)), None)
    if unit is not None:
        text = text[: -len(next(s for s, u in _SUFFIXES if text.endswith(s)))].strip()
    value = _Parser(text).whole()
    return None if value is None or not math.isfinite(value) else Quantity(value, unit)


class _Parser:
    """`expression = term (+- term)*; term = factor (*/ or adjacency factor)*; factor = -factor | atom [^ factor]`."""

    def __init__(self, text: str) -> None:
        self.parts: list[str] = []
        self.place, position, text = 0, 0, text.strip()
        while position < len(text):
            match = _PART.match(text, position)
            if match is None:
                self.parts = []
                return
            self.parts.append(match.group(1))
            position = match.end()

    def whole(self) -> float | None:
        """Value of the whole text; None when it is no expression."""
        if not self.parts:
            return None
        try:
            value = self._sum()
        except (ValueError, ZeroDivisionError, OverflowError, RecursionError):
            return None
        return value if self.place == len(self.parts) else None

    def _peek(self) -> str:
        return self.parts[self.place] if self.place < len(self.parts) else ""

    def _take(self, *wanted: str) -> str:
        part = self._peek()
        if not part or (wanted and part not in wanted):
            raise ValueError(part)
        self.place += 1
        return part

    def _sum(self) -> float:
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            value += sign * self._product()
        return value

    def _product(self) -> float:
        value = self._factor()
        while (part := self._peek()) not in ("", "+", "-", ")", "}"):
            if part == "/":
                self._take()
                value /= self._factor()
                continue
            if part in ("*", "\\times", "\\cdot"):
                self._take()
            value *= self._factor()
        return value

    def _factor(self) -> float:
        if self._peek() == "-":
            self._take()
            return -self._factor()
        value = self._atom()
        if self._peek() == "^":
            self._take()
            value = value ** self._factor()
            if isinstance(value, complex):
                raise ValueError(value)
        return value

    def _atom(self) -> float:
        part = self._take()
        if part in ("(", "{"):
            value = self._sum()
            self._take(")" if part == "(" else "}")
            return value
        if part in ("\\pi", "π"):
            return math.pi
        if part in ("\\sqrt", "√"):
            return math.sqrt(self._atom())
        if part.endswith("frac"):
            return self._atom() / self._atom()
        return float(part)
