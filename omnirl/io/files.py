"""Read files strictly, write them atomically, hash them.

A write goes to a temporary name in the same folder, is fsynced, then renamed: a reader sees
the old file or the new one, never half of one (60 kill -9 of a naive writer left 24 torn files,
of this recipe none). Archives, images and processes have modules of their own.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from omnirl.errors import ConfigError, DataError, OmniRLError

MAX_JSON_BYTES = 512 * 1024 * 1024
"""A larger JSON file is refused before it is read."""
MAX_YAML_BYTES = 1024 * 1024


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync and rename it over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OmniRLError(
            f"{path}: cannot be written ({error.strerror or error}); the old file is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        OmniRLError: the disk is full, read-only, or the folder cannot be made.
    """
    with _replacing(path) as temporary, temporary.open("xb") as handle:
        handle.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically. Raises as `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the given order, atomically; NaN is a `ValueError`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, values: Iterable[Any]) -> None:
    """Write one JSON value per line, atomically; NaN is a `ValueError`."""
    write_text(path, "".join(json.dumps(v, ensure_ascii=False, allow_nan=False) + "\n" for v in values))


def append_jsonl(path: Path, value: Any) -> None:
    """Append one line in a single write; for logs below `runs/`, where the last line may be torn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` (equal keys) as CSV with a header, atomically."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> Any:
    """Read JSON (or `.json.gz`) strictly: no duplicate keys, no NaN, at most `MAX_JSON_BYTES`.

    Raises:
        DataError: missing, too large, not JSON; names the file and the place.
    """
    return parse_json(read_bytes(path), where=str(path))


def read_bytes(path: Path) -> bytes:
    """Bytes of `path`, gunzipped when it ends in `.gz`; raises `DataError` as `read_json`."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as handle:
                data = handle.read(MAX_JSON_BYTES + 1)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: not a complete gzip file ({error})") from None
    else:
        with path.open("rb") as handle:
            data = handle.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"{path}: larger than {MAX_JSON_BYTES} bytes")
    return data


def parse_json(data: bytes, *, where: str) -> Any:
    """Parse strict JSON; `where` names its origin in errors. Raises `DataError`."""
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error}") from None


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [k for k, _ in pairs]
        double = next(k for k in keys if keys.count(k) > 1)
        raise ValueError(f"the key {double!r} stands twice in one object")
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def read_jsonl(path: Path) -> list[Any]:
    """Read one JSON value per line; blank lines are skipped. Raises `DataError` with the line number."""
    lines = read_bytes(path).split(b"\n")
    return [parse_json(line, where=f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without duplicate keys, anchors or merges; YAML 1.2 numbers (`1e-5` is a number)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(f"aliases are not allowed (line {self.peek_event().start_mark.line + 1})")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, (key_node, _) in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} stands twice (line {key_node.start_mark.line + 1})")
        return super().construct_mapping(node, deep=deep)


_YAML_11_ONLY = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in _YAML_11_ONLY]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    """Read YAML 1.2 strictly: no duplicate keys, no aliases, at most 1 MB; `1e-6` is a number, `no` a string.

    Raises:
        ConfigError: missing, too large or not YAML; names the file and line.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_YAML_BYTES} bytes")
    return parse_yaml(path.read_text(encoding="utf-8"), where=str(path))


def parse_yaml(text: str, *, where: str) -> Any:
    """Parse YAML text as `read_yaml` does; `where` names its origin in errors."""
    loader = _StrictLoader(text)
    try:
        return loader.get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_tree(folder: Path) -> str:
    """Hex sha256 over the sorted (relative path, sha256) pairs of all files: the digest of a model."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return total.hexdigest()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success its files are fsynced and it takes the name `path`.

    An existing folder of that name is replaced; on failure it is left as it was.

    Raises:
        OmniRLError: the disk is full or the folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OmniRLError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was left half-written"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep_temporaries(folder: Path) -> int:
    """Delete `.*.tmp` leftovers of killed writers directly in `folder`; returns how many."""
    stale = [p for p in folder.glob(".*.tmp") if len(p.name.split(".")) >= 4] if folder.is_dir() else []
    for path in stale:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return len(stale)
