"""Write a box the way a model family writes it, and read it back to original pixels.

Rounding happens here and only here: models write whole numbers. Knows nothing of prompts or tags;
finding the box in a text is the business of `omnirl.parsing.boxes`. No torch.
"""

import json

from omnirl.geometry.frames import convert_box
from omnirl.models.families import Family
from omnirl.parsing.boxes import find_box
from omnirl.schema.row import Box, Size


def encode_box(
    box_original: Box, family: Family, original: Size, resized: Size | None, label: str | None = None
) -> str:
    """`box_original` as text in the frame and style of `family`, rounded to whole numbers.

    Args:
        box_original: (x1, y1, x2, y2) in pixels of the image file.
        family: decides frame and style.
        original: size of the image file, in pixels.
        resized: size of the image the model sees, in pixels; needed by families of frame `resized_px`.
        label: name of the object, for styles that have a place for it; None leaves the place out.

    Raises:
        ContractError: `resized` is needed and None.

    Example:
        >>> from omnirl.models import families
        >>> encode_box((0, 0, 42, 42), families.get("demo-tiny"), Size(84, 84), Size(168, 168))
        '[0, 0, 84, 84]'
    """
    box = convert_box(box_original, source="original_px", target=family.frame, original=original, resized=resized)
    numbers = [round(v) for v in box]
    if family.box_style == "list":
        return json.dumps(numbers)
    content = {"bbox_2d": numbers} if label is None else {"bbox_2d": numbers, "label": label}
    return json.dumps(content, ensure_ascii=False)


def decode_box(text: str, family: Family, original: Size, resized: Size | None) -> Box | None:
    """The box that `text` holds, in original pixels; None when it holds none or several different ones.

    Raises:
        ContractError: `resized` is needed by the family's frame and None.
    """
    box = find_box(text)
    if box is None:
        return None
    return convert_box(box, source=family.frame, target="original_px", original=original, resized=resized)
