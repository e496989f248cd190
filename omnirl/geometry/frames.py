"""Move boxes between the coordinate frames of datasets and model families.

A box is `(x1, y1, x2, y2)`: top-left and bottom-right corners, x to the right,
y down, `0 <= x1 < x2 <= width`. Every box in the project travels with the name
of its frame; this module is the only place that knows what the names mean.

| frame         | unit                               | written by                   |
|---------------|------------------------------------|------------------------------|
| `original_px` | pixels of the image file           | datasets, our canonical rows |
| `resized_px`  | pixels of the image the model saw  | Qwen2.5-VL                   |
| `per_mille`   | 1/1000 of width (x) and height (y) | Qwen2-VL, Qwen3-VL, InternVL |

Pure Python, no I/O, no torch: safe to import in a reward, a converter or a test.
"""

import math

from omnirl.errors import ContractError
from omnirl.schema.row import Box, Frame, Size


def convert_box(box: Box, *, source: Frame, target: Frame, original: Size, resized: Size | None = None) -> Box:
    """Return `box` expressed in frame `target`; floats, neither rounded nor clipped.

    Args:
        box: (x1, y1, x2, y2) in the unit of `source`.
        source: frame the numbers are in now.
        target: frame to express them in.
        original: size of the image file, in pixels.
        resized: size of the image the model saw, in pixels. Required when either
            frame is `resized_px`; take it from `image_grid_thw`, never recompute it.

    Raises:
        ContractError: `resized_px` is asked for without `resized`.

    Example:
        >>> convert_box((0, 0, 320, 214), source="original_px", target="per_mille", original=Size(640, 428))
        (0.0, 0.0, 500.0, 500.0)
    """
    extents = {"original_px": original, "resized_px": resized, "per_mille": Size(1000, 1000)}
    old, new = extents[source], extents[target]
    if old is None or new is None:
        raise ContractError(f"{source} -> {target} needs the resized image size; got resized=None")
    x1, y1, x2, y2 = box
    return (
        x1 * new.width / old.width,
        y1 * new.height / old.height,
        x2 * new.width / old.width,
        y2 * new.height / old.height,
    )


def is_box(box: Box, *, extent: Size | None = None, tolerance: float = 0.0) -> bool:
    """Whether `box` is finite, not inverted, not empty and, with `extent`, inside it up to `tolerance` units."""
    if not all(math.isfinite(v) for v in box):
        return False
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return False
    if extent is None:
        return True
    return min(x1, y1) >= -tolerance and x2 <= extent.width + tolerance and y2 <= extent.height + tolerance
