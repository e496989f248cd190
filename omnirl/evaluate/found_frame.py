"""Find out in which frame recorded boxes were said, or why that cannot be known.

A recorded file holds numbers without frames. What can be compared without image sizes:

* the same frame: boxes meet the ground truth as they stand, more often than boxes of other questions do;
* the publisher's conversion: `extracted_answer` is `model_output` with x and y rescaled, row by row, in
  a way that an image size explains; then what was said can be moved into the frame of `extracted_answer`;
* another frame: boxes that miss the ground truth, yet equal it but for a scale of their row (or for the
  order of their numbers) far more often than chance allows.

The last sign separates a weak model from a wrong frame. On the recorded runs up to 2 % of the sound rows
show a scale far from 1 (the model at 36.8 % included; up to 7 % with boxes shaken by a fifth of their
size on top), and a file in which a tenth of the rows stands in another frame shows it in about a tenth.
Scales between 10 and 28 % off 1 occur with loose boxes too, so more of them are needed. Closer to 1 single
rows tell nothing (a resized image differs from its file by that much); the spread over a file does,
down to about +-10 %. What is smaller is taken as looseness of the model.

Scales of x and y leave IoU as it is, so a number is right in any frame that both sides share.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import binom

from omnirl.schema.row import Box, Frame

HIT, TIGHT = 0.5, 0.8
"""IoU from which a box meets the ground truth; and from which a rescaled box counts as the same box."""
NEAR, FAR = 0.10, 0.25
"""Scales (log) up to NEAR may be a resized image, between both loose boxes; beyond FAR no sound row has one."""
FAR_SHARE, LOOSE_SHARE, LOOSE_OF_HITS, ORDER_SHARE = 0.08, 0.35, 0.20, 0.12
"""More rows than this share that fit only with a scale beyond FAR, beyond NEAR, in another order: refused."""
SURE, LIKELY = 1e-4, 0.02
"""Chance below which a count of foreign rows, of hits, is taken as real."""
SPREAD, SPREAD_ROWS = 0.04, 150
"""Spread of the scales near 1 that no sound file reaches (recorded runs: .028), and rows needed to measure it."""
CONSISTENT = 0.98
"""Share of rows in which `extracted_answer` must be a rescaled `model_output`."""
DRAWS = 20


class Finding(NamedTuple):
    """Boxes in the ground truth's frame, or a reason why there are none."""

    frame: Frame | None
    boxes: list[Box | None]
    refused: str | None
    rescaled: bool = False
    """Whether the boxes were moved as `extracted_answer` was."""


def find(truths: Sequence[Box], said: Sequence[Box | None], extracted: Sequence[Box | None]) -> Finding:
    """Move the boxes that were said into the frame of the ground truth.

    Args:
        truths: right boxes, in one unknown frame.
        said: boxes read from the model's own words; None = unreadable.
        extracted: boxes the publisher's parser noted; None = none.

    Returns:
        A finding with `boxes` in the frame of `truths`, named; or `refused`.
    """
    rows = [i for i, box in enumerate(said) if box is not None]
    frame = name_frame(truths)
    if frame is None:
        return Finding(None, [], "the ground truth lies in 0..1, which is none of the known frames")
    if not rows:
        return _nothing_said(frame, said, extracted)
    truth, direct = np.array([truths[i] for i in rows]), np.array([said[i] for i in rows], float)
    reason = why_not(direct, truth)
    best = None if reason else (_mean_iou(direct, truth), direct, False)
    moved, story = _as_extracted(direct, [extracted[i] for i in rows])
    if moved is not None:
        usable = np.isfinite(moved).all(axis=1)
        if why_not(moved[usable], truth[usable]) is None:
            value = _mean_iou(np.nan_to_num(moved), truth)
            best = (value, moved, True) if best is None or value > best[0] else best
    if best is None:
        return Finding(None, [], f"{reason}{story}")
    boxes: list[Box | None] = [None] * len(said)
    for i, box in zip(rows, best[1].tolist(), strict=True):
        boxes[i] = tuple(box) if np.isfinite(box).all() else None
    return Finding(frame, boxes, None, best[2])


def _nothing_said(frame: Frame, said: Sequence[Box | None], extracted: Sequence[Box | None]) -> Finding:
    noted = sum(box is not None and any(box) for box in extracted)
    if noted > 0.05 * len(said):
        reason = f"extracted_answer holds {noted} boxes, but none can be read from model_output"
        return Finding(None, [], reason)
    return Finding(frame, [None] * len(said), None)


def name_frame(truths: Sequence[Box]) -> Frame | None:
    """The frame that a set of right boxes is written in, by its extent; None for fractions of the image.

    Per mille fills 0..1000 in both directions whatever the images are; pixels end where images end.
    """
    edges = np.array(truths)[:, 2:].max(axis=0)
    if edges.max() <= 1:
        return None
    return "per_mille" if edges.max() <= 1000.5 and edges.min() >= 900 else "original_px"


def why_not(said: np.ndarray, truths: np.ndarray) -> str | None:
    """Why `said` and `truths` cannot be taken to share a frame; None when they can."""
    n = len(said)
    if n == 0:
        return "no box can be compared"
    chance = _Chance(said, truths)
    overlap = iou(said, truths)
    hits, tight = int((overlap > HIT).sum()), int((overlap > TIGHT).sum())
    by_luck = min(_at_least(hits, n, max(chance.hit, 0.01)), _at_least(tight, n, max(chance.tight, 0.003)))
    if by_luck > LIKELY:
        return (
            f"only {hits} of {n} boxes meet the ground truth, about as many as boxes of other questions would: "
            "model_output and ground_truth do not show one common frame"
        )
    return _foreign_order(said, truths, hits) or _foreign_scale(said, truths, chance) or _spread_scale(said, truths)


def _foreign_order(said: np.ndarray, truths: np.ndarray, hits: int) -> str | None:
    """Rows that meet the ground truth only with x and y exchanged, or read as corner and size."""
    missed = iou(said, truths) <= HIT
    for name, other in (("x and y exchanged", said[:, [1, 0, 3, 2]]), ("corner and size", _corner_size(said))):
        found = int((missed & (iou(other, truths) > HIT)).sum())
        chance = float((iou(other, np.roll(truths, 1, axis=0)) > HIT).mean()) if len(said) > 1 else 0.05
        if found > ORDER_SHARE * (found + hits) and _at_least(found, int(missed.sum()), max(chance, 0.01)) < SURE:
            return f"{found} of {len(said)} boxes meet the ground truth only when read as {name}"
    return None


def _foreign_scale(said: np.ndarray, truths: np.ndarray, chance: "_Chance") -> str | None:
    """Rows that are the right box but for a scale of their own."""
    overlap = iou(said, truths)
    missed, hits = int((overlap <= HIT).sum()), int((overlap > HIT).sum())
    far, loose, near = (int(kind.sum()) for kind in _rescaled(said, truths))
    far_extra, loose_extra = far - chance.far * missed, loose - chance.loose * missed
    is_far = far_extra > FAR_SHARE * (far_extra + near) and _at_least(far, missed, max(chance.far, 0.01)) < SURE
    is_loose = (
        loose_extra > LOOSE_SHARE * (loose_extra + near)
        and loose_extra > LOOSE_OF_HITS * (loose_extra + hits)
        and _at_least(loose, missed, max(chance.loose, 0.01)) < SURE
    )
    if not is_far and not is_loose:
        return None
    return (
        f"{far + loose} of {len(said)} boxes miss the ground truth but equal it up to a scale of their row "
        f"({(chance.far + chance.loose) * missed:.0f} expected by chance): they stand in another frame"
    )


def _spread_scale(said: np.ndarray, truths: np.ndarray) -> str | None:
    """Scales near 1 that differ from row to row: centres that miss by a share of their distance from the corner.

    A loose box misses its centre by a share of its own size, a scaled one by a share of its centre's
    coordinate: the squared misses (in box sizes) are split into the two by non-negative least squares.
    """
    _, _, near = _rescaled(said, truths)
    usable = near | (iou(said, truths) > HIT)
    if usable.sum() < SPREAD_ROWS:
        return None
    spread = min(_spread(said[usable], truths[usable], axis) for axis in (0, 1))
    if spread <= SPREAD:
        return None
    return f"the scale between model_output and ground_truth changes from row to row (by {100 * spread:.0f} %)"


def _spread(said: np.ndarray, truths: np.ndarray, axis: int) -> float:
    centre, right = ((b[:, axis] + b[:, axis + 2]) / 2 for b in (said, truths))
    size = truths[:, axis + 2] - truths[:, axis]
    common = np.median(centre / np.maximum(right, 1e-6))
    distance = (right / size) ** 2
    weight = 1 / (1 + distance)
    parts = np.stack([distance, np.ones_like(distance)], axis=1) * weight[:, None]
    shares, _ = nnls(parts, ((centre - common * right) / size) ** 2 * weight)
    return float(np.sqrt(shares[0]))


class _Chance:
    """How often boxes fit the ground truths of other questions of the same file."""

    def __init__(self, said: np.ndarray, truths: np.ndarray) -> None:
        n = len(said)
        if n < 8:  # too few to draw from: what boxes in photographs do, rounded up
            self.hit, self.tight, self.far, self.loose = 0.1, 0.003, 0.1, 0.05
            return
        generator = np.random.default_rng(0)
        drawn = []
        for _ in range(DRAWS):
            order = generator.permutation(n)
            mine, other = said[order], np.roll(truths[order], 1, axis=0)
            overlap = iou(mine, other)
            far, loose, _ = _rescaled(mine, other)
            missed = max(1, (overlap <= HIT).sum())
            drawn.append(((overlap > HIT).mean(), (overlap > TIGHT).mean(), far.sum() / missed, loose.sum() / missed))
        hit, tight, self.far, self.loose = (float(v) for v in np.mean(drawn, axis=0))
        self.hit, self.tight = min(hit, 0.5), min(tight, 0.2)  # where all boxes are alike, draws tell nothing


def _rescaled(said: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows equal the ground truth up to a scale of x and of y: misses far from 1, misses nearer, near 1."""
    scales = _scales(said, truths)
    same = iou(truths * scales[:, [0, 1, 0, 1]], said) > TIGHT
    missed = iou(said, truths) <= HIT
    away = np.abs(np.log(scales)).max(axis=1)
    return same & missed & (away > FAR), same & missed & (away > NEAR) & (away <= FAR), same & (away <= NEAR)


def _scales(said: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Least-squares scale of x and of y that turns each row of `truths` into `said`; at least 0.001."""
    products, squares = said * truths, truths**2
    ratio = (products[:, :2] + products[:, 2:]) / np.maximum(squares[:, :2] + squares[:, 2:], 1e-9)
    return np.maximum(ratio, 1e-3)


def _as_extracted(said: np.ndarray, extracted: Sequence[Box | None]) -> tuple[np.ndarray | None, str]:
    """`said` moved as `extracted` was, unknown rows as NaN; or None, with what to add to a refusal."""
    known = np.array([box is not None and any(box) and box[2] > box[0] and box[3] > box[1] for box in extracted])
    if known.sum() < max(1.0, CONSISTENT * len(said)):
        return None, "" if known.all() else "; extracted_answer does not help, it lacks boxes"
    noted = np.array([box if ok else (np.nan,) * 4 for box, ok in zip(extracted, known, strict=True)], float)
    scales = _scales(noted, said)
    moved = said * scales[:, [0, 1, 0, 1]]
    fits = known & (np.abs(moved - noted) <= 1.01 + 1.01 * scales[:, [0, 1, 0, 1]]).all(axis=1)
    if fits.sum() < CONSISTENT * known.sum():
        return None, "; extracted_answer is no rescaled model_output"
    if np.abs(scales[fits] - 1).max() < 1e-3:
        return None, "; extracted_answer repeats the same numbers"
    if not _explained(said[fits], noted[fits], scales[fits]):
        return None, "; no image size explains how extracted_answer was made from model_output"
    moved[~fits] = np.nan
    return moved, ""


def _explained(said: np.ndarray, noted: np.ndarray, scales: np.ndarray) -> bool:
    """Whether image sizes explain the scales: to per mille, from per mille, or a resized image."""
    sides = 1000 / scales
    to_mille = (said[:, 2:] <= 1.1 * sides).all(axis=1) & (sides >= 20).all(axis=1)
    from_mille = (noted[:, 2:] <= 1.1 * 1000 * scales).all(axis=1) & (1000 * scales >= 20).all(axis=1)
    resized = np.abs(np.log(scales[:, 0] / scales[:, 1])) < NEAR
    return max(to_mille.mean(), from_mille.mean(), resized.mean()) >= CONSISTENT


def _corner_size(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU row by row, as `omnirl.geometry.iou.iou`."""
    size = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    areas = sum(np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1) for x in (a, b))
    return size / np.maximum(areas - size, 1e-12)


def _mean_iou(said: np.ndarray, truths: np.ndarray) -> float:
    return float(iou(said, truths).mean())


def _at_least(count: int, n: int, chance: float) -> float:
    """Probability of `count` or more in `n` draws of probability `chance`."""
    return float(binom.sf(count - 1, n, min(1.0, chance)))
