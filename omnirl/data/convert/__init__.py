"""Publishers' annotation files to canonical rows: one converter, one file in this folder, per form.

A converter is `(data, source, where) -> Iterator[Row | Rejected]`: it never opens a file and never
looks at an image. A row it cannot read is rejected with a code and kept in
`data/convert_quarantine.jsonl`; a file it cannot read stops the stage.

| code               | the row                                                                      |
|--------------------|------------------------------------------------------------------------------|
| `bad_json`         | is not JSON, has a double key, or NaN                                        |
| `wrong_type`       | has a field of another type than its form says                               |
| `missing_field`    | lacks a field                                                                |
| `bad_conversation` | is not one human turn and one gpt turn                                       |
| `bad_answer`       | has an unclosed or doubled `<think>` or `<answer>` block                     |
| `bad_box`          | has not exactly one box of four numbers where its task needs one             |
| `image_count`      | has some `<image>` places, but not as many as images                         |
| `bad_image_name`   | names an image by an absolute path, an address, with `..`, or without images |
| `bad_text`         | holds NUL or half a surrogate pair                                           |
| `unknown_reward`   | names an `accu_reward_method` that is not registered                         |
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omnirl.config import Params, Source
from omnirl.data.convert import omnirl_json, vlmr1_conversations, vlmr1_rec
from omnirl.data.convert.reading import require_source
from omnirl.data.quarantine import Problem, Rejected, entry
from omnirl.errors import DataError
from omnirl.io import files
from omnirl.io.archives import read_reference
from omnirl.io.progress import Progress
from omnirl.io.rows import write_rows
from omnirl.schema import layout
from omnirl.schema.row import Row

logger = logging.getLogger(__name__)

Converter = Callable[[bytes, Source, str], Iterator[Row | Rejected]]

CONVERTERS: dict[str, Converter] = {
    "vlmr1-rec": vlmr1_rec.convert,
    "vlmr1-conversations": vlmr1_conversations.convert,
    "omnirl": omnirl_json.convert,
}


def convert_source(source: Source, raw: Path) -> tuple[list[Row], list[Rejected]]:
    """Rows of one source below `raw`, and what could not be read, both in the order of the file.

    Raises:
        ConfigError: the source contradicts itself.
        DataError: the file is missing, damaged, hostile or empty; names it.
    """
    require_source(source)
    rows: list[Row] = []
    rejected: list[Rejected] = []
    data = read_reference(raw, source.annotations)
    for item in CONVERTERS[source.converter](data, source, source.annotations):
        if isinstance(item, Row):
            rows.append(item)
        else:
            rejected.append(item)
    if not rows:
        first = f"; the first of {len(rejected)} rejected: {rejected[0].reason}" if rejected else ""
        raise DataError(
            f"{source.annotations}: no row could be read as {source.converter}{first}; "
            f"check convert.sources {source.name}"
        )
    return rows, rejected


def run(params: Params, root: Path) -> dict[str, Any]:
    """Convert every source; leaves `data/rows`, the quarantine of this stage and its report.

    Raises:
        ConfigError: a source contradicts itself.
        DataError: an annotation file cannot be read; names it. Older outputs stay as they were.
    """
    raw = root / layout.RAW
    sources = params.convert.sources
    progress = Progress("convert", len(sources))
    quarantine: list[dict[str, Any]] = []
    counts: dict[str, dict[str, Any]] = {}
    with files.atomic_folder(root / layout.ROWS) as folder:
        for source in sources:
            rows, rejected = convert_source(source, raw)
            write_rows(folder / f"{source.name}.parquet", rows)
            quarantine += [_entry(source, item) for item in rejected]
            counts[source.name] = {"converter": source.converter, "rows": len(rows), "quarantined": len(rejected)}
            progress.add(note=f"{source.name}, {len(rows)} rows, {len(rejected)} rejected")
    for code, count in Counter(item["code"] for item in quarantine).most_common():
        logger.warning("convert: %d rows rejected as %s", count, code)
    report = {
        "rows": sum(count["rows"] for count in counts.values()),
        "quarantined": len(quarantine),
        "sources": counts,
    }
    files.write_jsonl(root / layout.CONVERT_QUARANTINE, quarantine)
    files.write_json(root / layout.CONVERT_REPORT, report)
    return report


def _entry(source: Source, item: Rejected) -> dict[str, Any]:
    uid = f"{source.name}/{item.line - 1}"
    return entry(source.name, item.line, uid, Problem(item.code, item.reason), "convert", item.row)
