"""Recorded runs for the tests, as they are and changed on purpose."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from omnirl.io import files

FOLDER = Path(__file__).parents[2] / "data/recorded"
COUNTING = "counting_results_superclevr_200_qwen2vl_2b_instruct"
_BOX = re.compile(r"\[" + r"\s*,\s*".join([r"\s*(-?[\d.]+)"] * 4) + r"\s*\]")


def recorded(name: str) -> Path:
    return FOLDER / f"{name}.json.gz"


def rewrite(text: str, change: Callable[[list[float]], list[float]]) -> str:
    """`text` with every box changed and rounded, as a model would have written it."""

    def replaced(match: re.Match[str]) -> str:
        return "[" + ", ".join(str(round(v)) for v in change([float(v) for v in match.groups()])) + "]"

    return _BOX.sub(replaced, text)


def scaled(box: list[float], x: float, y: float) -> list[float]:
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]


def changed(path: Path, name: str, change: Callable[[dict[str, Any], np.random.Generator, int], None]) -> Path:
    """A copy of a recorded run with `change(row, generator, number)` done to every row."""
    content = files.read_json(recorded(name))
    generator = np.random.default_rng(3)
    for number, row in enumerate(content["results"]):
        change(row, generator, number)
    files.write_json(path, content)
    return path


def per_mille_of(row: dict[str, Any], generator: np.random.Generator) -> tuple[float, float]:
    """Scales to per mille for an image size that could be this row's."""
    said = [float(v) for v in (_BOX.search(row["model_output"]) or _BOX.search("[0,0,0,0]")).groups()]
    width, height = (640, int(generator.integers(400, 490)))
    if generator.random() < 0.3:
        width, height = height, width
    return 1000 / max(width, row["ground_truth"][2], said[2]), 1000 / max(height, row["ground_truth"][3], said[3])
