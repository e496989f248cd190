"""The one image decoder (and encoder): PNG, JPEG, WEBP; limits on bytes, pixels and frames; EXIF applied; RGB.

Images are named by reference (see `omnirl.io.archives`) and decoded just in time. Nobody else
opens an image, and no path or address ever reaches a processor (they would fetch it).
"""

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from omnirl.errors import DataError
from omnirl.io.archives import read_reference

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


def decode_image(data: bytes, *, where: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode `data` to an upright RGB image.

    Raises:
        DataError: not one of the formats, truncated, animated, or more than `max_pixels`; names `where`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > max_pixels:
                raise DataError(f"{where}: {image.width}x{image.height} pixels, more than {max_pixels}")
            if (frames := getattr(image, "n_frames", 1)) != 1:
                raise DataError(f"{where}: {frames} frames; only still images are read")
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        raise DataError(f"{where}: not a PNG, JPEG or WEBP image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{where}: damaged image ({error})") from None


def encode_image(image: Image.Image, form: Literal["PNG", "JPEG"]) -> bytes:
    """`image` as a file's bytes, without metadata: PNG, or JPEG of quality 95 with full colour resolution."""
    encoded = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    image.save(encoded, form, **options)
    return encoded.getvalue()


def load_image(root: Path, reference: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read and decode the image `reference` below `root`; raises `DataError` as `decode_image`."""
    return decode_image(read_reference(root, reference, limit=MAX_IMAGE_BYTES), where=reference, max_pixels=max_pixels)


@lru_cache(maxsize=512)
def load_image_cached(root: Path, reference: str) -> Image.Image:
    """`load_image` with the last 512 images kept; treat the result as read-only."""
    return load_image(root, reference)
