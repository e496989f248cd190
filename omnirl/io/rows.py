"""Canonical rows and rollouts to parquet and back, with a fixed schema (the same bytes for the same rows)."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from omnirl.errors import DataError
from omnirl.io import files
from omnirl.schema.rollout import Rollout
from omnirl.schema.row import Row, Size

ROW_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "dataset", "split", "task", "problem", "answer", "reward")),
        ("images", pa.list_(pa.string())),
        ("image_sha256", pa.list_(pa.string())),
        ("sizes", pa.list_(pa.list_(pa.int32()))),
        ("bbox", pa.list_(pa.float64())),
        ("box_frame", pa.string()),
        ("box_image", pa.int32()),
        *((name, pa.string()) for name in ("thought", "cluster", "source", "source_sha256")),
    ]
)
ROLLOUT_SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("rank", pa.int32()),
        *((name, pa.string()) for name in ("uid", "task", "completion")),
        ("tokens", pa.int32()),
        ("truncated", pa.bool_()),
        ("reward", pa.float64()),
        ("advantage", pa.float64()),
        ("parts", pa.string()),
        ("statuses", pa.string()),
    ]
)


def _write(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    files.write_bytes(path, sink.getvalue().to_pybytes())


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from None


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write `rows` to one parquet file, atomically."""
    _write(path, pa.Table.from_pylist([row.model_dump() for row in rows], schema=ROW_SCHEMA))


def read_rows(path: Path) -> list[Row]:
    """Read rows back. Raises `DataError` when the file is missing or not of this schema."""
    try:
        return [Row(**{**item, "sizes": tuple(Size(*s) for s in item["sizes"])}) for item in _read(path)]
    except (KeyError, TypeError, ValidationError) as error:
        raise DataError(f"{path}: not a file of canonical rows ({' '.join(str(error).split())[:200]})") from None


def write_rollouts(path: Path, rollouts: Iterable[Rollout]) -> None:
    """Write rollouts to one parquet file, atomically; maps are stored as JSON text."""
    items = [r.model_dump() for r in rollouts]
    for item in items:
        item["parts"], item["statuses"] = json.dumps(item["parts"]), json.dumps(item["statuses"])
    _write(path, pa.Table.from_pylist(items, schema=ROLLOUT_SCHEMA))


def read_rollouts(path: Path) -> list[Rollout]:
    """Read rollouts back. Raises `DataError` when the file is missing or not of this schema."""
    return [
        Rollout(**{**item, "parts": json.loads(item["parts"]), "statuses": json.loads(item["statuses"])})
        for item in _read(path)
    ]
