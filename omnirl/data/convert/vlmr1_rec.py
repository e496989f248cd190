"""VLM-R1's REC files: a JSON array of `{"image", "problem", "solution": [x1, y1, x2, y2], ...}`.

`solution` is in the frame that `convert.sources` states (original pixels in the published files; the
InternVL edition has 0..1000 under the same key). `normalized_solution` and `bbox_list` are not read:
the one repeats `solution`, the other is off by one.
"""

from collections.abc import Iterator
from typing import Any

from omnirl.config import Source
from omnirl.data.convert.reading import Parts, box_of, box_text, convert_rows, field, image_names, reward_of
from omnirl.data.quarantine import Rejected
from omnirl.schema.row import Row


def convert(data: bytes, source: Source, where: str) -> Iterator[Row | Rejected]:
    """Rows of `data`; raises `DataError` when the file cannot be read to its end."""
    return convert_rows(data, source, where, _read)


def _read(item: dict[str, Any], source: Source) -> Parts:
    images = image_names(item, required=True)
    problem = field(item, "problem", str)
    box = box_of(field(item, "solution", (list, str)), "solution")
    return Parts(images, problem, box_text(box), reward_of(item, source), box)
