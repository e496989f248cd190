"""Small real things for the tests of `omnirl.data`: parameters, pictures, archives."""

import io
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from omnirl.config import Params, Source, load_params

ROOT = Path(__file__).parents[3]
DEMO = load_params(ROOT / "params.yaml")


def source(name: str = "rec_train", **change: Any) -> Source:
    """A source of REC rows in `boxes/a.json`, images in `boxes/img.zip`."""
    base = {
        "name": name,
        "converter": "vlmr1-rec",
        "annotations": "boxes/a.json",
        "images": "boxes/img.zip",
        "split": "train",
        "task": "rec",
        "reward": "rec_iou",
        "box_frame": "original_px",
    }
    return Source(**{**base, **change})


def with_sources(*sources: Source, **validate: Any) -> Params:
    """The demo's parameters with other sources and limits of `validate`."""
    return DEMO.model_copy(
        update={
            "convert": DEMO.convert.model_copy(update={"sources": tuple(sources)}),
            "validate_": DEMO.validate_.model_copy(update=validate),
        }
    )


def png(colour: tuple[int, int, int] = (10, 20, 30), size: tuple[int, int] = (40, 30)) -> bytes:
    """A one-coloured picture."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    """An archive as publishers make them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
