"""Does each image exist and decode, and what are its sha256 and size? Each distinct image once.

Threads, not processes: hashing, unzipping and decoding release the interpreter lock, and the result
does not depend on how many there are. Knows nothing of rows.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from omnirl.data.quarantine import Problem
from omnirl.errors import DataError
from omnirl.io.archives import has_member, read_reference, resolve_below, split_reference
from omnirl.io.files import sha256_bytes
from omnirl.io.images import MAX_IMAGE_BYTES, decode_image
from omnirl.io.progress import Progress
from omnirl.schema import layout
from omnirl.schema.row import Size

_CHUNK = 64


class ImageFacts(NamedTuple):
    """What `validate` writes into the rows."""

    sha256: str
    """Of the encoded bytes."""
    size: Size
    """Pixels after EXIF orientation."""


def check_images(raw: Path, references: Iterable[str], *, max_pixels: int) -> dict[str, ImageFacts | Problem]:
    """Facts, or the problem, of every distinct reference below `raw`.

    Raises:
        DataError: a whole archive is missing, damaged or hostile; names it.
    """
    distinct = sorted(set(references))
    progress = Progress("images", len(distinct))
    found: dict[str, ImageFacts | Problem] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, len(distinct), _CHUNK):
            chunk = distinct[start : start + _CHUNK]
            found.update(zip(chunk, pool.map(lambda name: _check(raw, name, max_pixels), chunk), strict=True))
            progress.add(len(chunk))
    return found


def _check(raw: Path, reference: str, max_pixels: int) -> ImageFacts | Problem:
    relative, member = split_reference(reference)
    try:
        path = resolve_below(raw, relative)
    except DataError as error:
        return Problem("missing_image", _relative(error, raw))
    if member is not None and not path.is_file():
        raise DataError(f"{relative}: no such archive below {raw}; run `omnirl fetch`")
    if not (path.is_file() if member is None else has_member(path, member)):
        return Problem("missing_image", f"{reference}: no such {'file' if member is None else 'member'}")
    try:
        data = read_reference(raw, reference, limit=MAX_IMAGE_BYTES)
        image = decode_image(data, where=reference, max_pixels=max_pixels)
    except DataError as error:
        return Problem("unreadable_image", _relative(error, raw))
    return ImageFacts(sha256_bytes(data), Size(image.width, image.height))


def _relative(error: DataError, raw: Path) -> str:
    """The message without the machine's own paths, which no tracked file may hold."""
    return str(error).replace(str(raw), layout.RAW).replace(f"{layout.RAW}/", "")
