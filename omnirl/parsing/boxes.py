"""Find boxes in text: bracketed lists of exactly four numbers, in whatever they are wrapped.

`[1, 2, 3, 4]`, `[[1.5,2,3,4]]`, `{"bbox_2d": [1, 2, 3, 4], "label": "cat"}` and JSON in a code fence
all hold one. Numbers are ASCII, with optional sign, fraction and exponent, at most `MAX_DIGITS`
digits a part; `NaN`, `Infinity`, other scripts' digits and lists of another length are no box.
A search never crosses a `[`, so time grows linearly with the text.

Knows nothing of frames or image sizes: a box comes out as it was written, inverted ones too.
"""

import math
import re

from omnirl.schema.row import Box

MAX_BOXES = 1000
"""`find_boxes` stops here; a completion with more boxes has no single answer anyway."""
MAX_DIGITS = 32

_DIGITS = rf"[0-9]{{1,{MAX_DIGITS}}}+"
_NUMBER = rf"([-+]?(?>{_DIGITS}(?:\.[0-9]{{0,{MAX_DIGITS}}}+)?|\.{_DIGITS})(?>[eE][-+]?[0-9]{{1,3}}+)?)"
_BOX = re.compile(r"\[\s*+" + r"\s*+,\s*+".join([_NUMBER] * 4) + r"\s*+\]")


def find_boxes(text: str) -> list[Box]:
    """The first `MAX_BOXES` boxes in `text`, in order, as written (values may be infinite: `1e999`).

    Example:
        >>> find_boxes('[{"bbox_2d": [1, 2.5, 3, 4], "label": "cat"}, [5,6,7]]')
        [(1.0, 2.5, 3.0, 4.0)]
    """
    boxes: list[Box] = []
    for match in _BOX.finditer(text):
        x1, y1, x2, y2 = (float(v) for v in match.groups())
        boxes.append((x1, y1, x2, y2))
        if len(boxes) == MAX_BOXES:
            break
    return boxes


def find_box(text: str) -> Box | None:
    """The box in `text`; None when there is none, several different ones, too many, or it is not finite.

    Example:
        >>> find_box("[1,2,3,4] and again [1, 2, 3.0, 4]")
        (1.0, 2.0, 3.0, 4.0)
        >>> find_box("[1,2,3,4] or [1,2,3,5]") is None
        True
    """
    boxes = find_boxes(text)
    if len(set(boxes)) != 1 or len(boxes) == MAX_BOXES:
        return None
    return boxes[0] if all(math.isfinite(v) for v in boxes[0]) else None
