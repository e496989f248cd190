"""The data contract: what every row must promise before a reward, a trainer or a judge sees it.

Rows that break it go to `data/quarantine.jsonl` with the first code that applies; the rest, with
sha256 and size of every image filled in, to `data/valid`.

| code               | the row                                                                          |
|--------------------|----------------------------------------------------------------------------------|
| `empty_question`   | asks nothing                                                                     |
| `empty_answer`     | has no answer                                                                    |
| `image_count`      | has some `<image>` places, but not as many as images; or lacks the image it needs |
| `placeholder`      | holds a vision or chat token of a model family in its text                       |
| `missing_image`    | names an image that is not there                                                 |
| `unreadable_image` | has an image that does not decode, is animated or larger than `max_pixels`       |
| `no_box`           | lacks the box its task needs                                                     |
| `no_frame`         | has a box whose frame is unknown, or in pixels of a resized image                |
| `box_image`        | says its box lies in an image it does not have                                   |
| `box_not_finite`   | has a box with an infinite corner or NaN                                         |
| `box_inverted`     | has a box whose corners are in the wrong order, or without area                  |
| `box_outside`      | has a box that reaches over the image's edge by more than `box_tolerance_px`     |
| `doubled_uid`      | has the uid of an earlier row                                                    |
| `duplicate`        | says the same as an earlier row of its data set                                  |
| `contradictory`    | gives another answer than a row with the same question and images (split train)  |

Rows that a converter rejected are counted here too, with the codes of `omnirl.data.convert`.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnirl.config import Params, Validate
from omnirl.data.contract import check_row
from omnirl.data.duplicates import Leak, find_doubles, find_leak
from omnirl.data.image_check import check_images
from omnirl.data.quarantine import Problem, entry
from omnirl.errors import DataError, QuarantineError
from omnirl.io import files
from omnirl.io.rows import read_rows, write_rows
from omnirl.schema import layout
from omnirl.schema.row import Row

logger = logging.getLogger(__name__)

EXAMPLES = 20
"""So many quarantined rows are named in the report."""
NO_LEAK = Leak(0, 0, None)


def run(params: Params, root: Path) -> dict[str, Any]:
    """Check every row; leaves `data/valid`, the quarantine and the report, then judges the whole.

    Raises:
        DataError: rows or an image archive cannot be read, a data set keeps no row at all, or training
            and evaluation share images (`validate.leakage: strict`).
        QuarantineError: more than `validate.max_quarantine_fraction` of all rows cannot be used.
            In both cases quarantine and report are complete, for reading.
    """
    names = [source.name for source in params.convert.sources]
    rows = {name: read_rows(root / layout.ROWS / f"{name}.parquet") for name in names}
    rejected: list[dict[str, Any]] = files.read_jsonl(root / layout.CONVERT_QUARANTINE)
    valid, broken = check_rows(rows, root / layout.RAW, params.validate_)
    quarantine = rejected + [_entry(row, problem) for name in names for row, problem in broken[name]]
    mode = params.validate_.leakage
    leak = NO_LEAK if mode == "off" else find_leak(row for kept in valid.values() for row in kept)
    report = _report(valid, quarantine, leak, mode)
    with files.atomic_folder(root / layout.VALID) as folder:
        for name, kept in valid.items():
            write_rows(folder / f"{name}.parquet", kept)
    files.write_jsonl(root / layout.QUARANTINE, quarantine)
    files.write_json(root / layout.VALIDATE_REPORT, report)
    logger.info("validate: %d of %d rows can be used", report["valid"], report["rows"])
    _judge(report, leak, params.validate_)
    return report


Broken = list[tuple[Row, Problem]]


def check_rows(
    rows: Mapping[str, Sequence[Row]], raw: Path, settings: Validate
) -> tuple[dict[str, list[Row]], dict[str, Broken]]:
    """Valid rows (filled in) and broken ones of each data set, in their order.

    Args:
        rows: converted rows by data set.
        raw: folder that image references are relative to.
        settings: limits.

    Raises:
        DataError: a whole image archive is missing, damaged or hostile.
    """
    references = (name for group in rows.values() for row in group for name in row.images)
    images = check_images(raw, references, max_pixels=settings.max_pixels)
    valid: dict[str, list[Row]] = {}
    broken: dict[str, Broken] = {}
    seen: set[str] = set()
    for name, group in rows.items():
        sound: list[Row] = []
        bad: Broken = []
        for row in group:
            checked = check_row(row, images, tolerance=settings.box_tolerance_px)
            if row.uid in seen:
                checked = Problem("doubled_uid", f"the uid {row.uid} stands on an earlier row")
            seen.add(row.uid)
            if isinstance(checked, Problem):
                bad.append((row, checked))
            else:
                sound.append(checked)
        doubles = find_doubles(sound)
        valid[name] = [row for row in sound if row.uid not in doubles]
        broken[name] = bad + [(row, doubles[row.uid]) for row in sound if row.uid in doubles]
    return valid, broken


def _entry(row: Row, problem: Problem) -> dict[str, Any]:
    place = row.source.rpartition("#")[2]
    line = int(place) + 1 if place.isdecimal() else None
    return entry(row.dataset, line, row.uid, problem, "validate", row.model_dump())


def _report(
    valid: Mapping[str, Sequence[Row]], quarantine: Sequence[Mapping[str, Any]], leak: Leak, mode: str
) -> dict[str, Any]:
    lost = Counter(item["source"] for item in quarantine)
    datasets = {
        name: {"rows": len(kept) + lost[name], "valid": len(kept), "quarantined": lost[name]}
        for name, kept in valid.items()
    }
    total = sum(counts["rows"] for counts in datasets.values())
    reasons = Counter(item["code"] for item in quarantine)
    return {
        "rows": total,
        "valid": sum(counts["valid"] for counts in datasets.values()),
        "quarantined": len(quarantine),
        "fraction": len(quarantine) / total if total else 0.0,
        "reasons": dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        "datasets": datasets,
        "leakage": {"mode": mode, "images": leak.images, "rows": leak.rows},
        "examples": [{k: v for k, v in item.items() if k != "row"} for item in quarantine[:EXAMPLES]],
    }


def _judge(report: Mapping[str, Any], leak: Leak, settings: Validate) -> None:
    """Stop the pipeline when the data as a whole cannot be used; what was found is on disk by now."""
    reasons = ", ".join(f"{code} {count}" for code, count in report["reasons"].items())
    for name, counts in report["datasets"].items():
        if counts["valid"] == 0:
            raise QuarantineError(
                f"validate: no row of {name} can be used ({counts['quarantined']} quarantined: {reasons}); "
                f"see {layout.QUARANTINE}"
            )
    if report["fraction"] > settings.max_quarantine_fraction:
        raise QuarantineError(
            f"validate: {report['quarantined']} of {report['rows']} rows ({100 * report['fraction']:.1f} %) cannot be "
            f"used, validate.max_quarantine_fraction allows {100 * settings.max_quarantine_fraction:g} % ({reasons}); "
            f"see {layout.QUARANTINE}, mend the data or raise the limit"
        )
    if leak.first is None:
        return
    text = (
        f"validate: {leak.rows} training rows share images or questions with evaluation rows ({leak.images} images; "
        f"first: {leak.first[0]} and {leak.first[1]})"
    )
    if settings.leakage == "strict":
        raise DataError(f"{text}; take them out of one side, or set validate.leakage to warn")
    logger.warning("%s", text)
