"""Part files: bytes that arrive are appended, checked and only then take their final name.

A part file holds a true beginning of the wanted file at every moment (also after Ctrl-C, kill -9 or
a full disk), so the next process goes on where this one stopped. Where the bytes come from is not
known here: callers hand over an iterable of chunks.
"""

import errno
import hashlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from omnirl.errors import FetchError

logger = logging.getLogger(__name__)

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit of this process is reached",
}


def size_of(path: Path) -> int:
    """Bytes of `path`; 0 when it does not exist."""
    return path.stat().st_size if path.is_file() else 0


def append(part: Path, chunks: Iterable[bytes], *, at: int) -> int:
    """Write `chunks` into `part` from byte `at` on (what stood behind it is cut off); returns its new size.

    Nothing is buffered: whatever was received when the process ends stays in the part file.

    Raises:
        FetchError: the disk is full, read-only, or a limit is reached; what was written stays.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab", buffering=0) as handle:
            handle.truncate(at)
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[handle.write(view) :]
    except OSError as error:
        raise _cannot_write(part, error) from error
    return size_of(part)


def digests(path: Path) -> tuple[str, str]:
    """Hex sha256 and Git object id (sha1 over `blob <size>` and the content) of what is on disk."""
    sha256 = hashlib.sha256()
    oid = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            sha256.update(chunk)
            oid.update(chunk)
    return sha256.hexdigest(), oid.hexdigest()


def finish(part: Path, target: Path) -> None:
    """Give the checked `part` its final name `target` (same folder or file system), durably.

    Raises:
        FetchError: it cannot be synced or renamed; the part file stays.
    """
    try:
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _cannot_write(target, error) from error


def place(source: Path, target: Path) -> None:
    """Let `target` be the same file as `source`: a hard link, or a copy where links do not work; atomic.

    Raises:
        FetchError: the disk is full or read-only; an old `target` stays as it was.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete the file or folder `path` if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require_space(folder: Path, needed: int) -> None:
    """Check that `needed` further bytes fit on the disk of `folder`.

    Raises:
        FetchError: they do not; says how much is needed and how much is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder}: the download needs {_bytes(needed)} more and {_bytes(free)} are free; "
            "make room on this disk and run it again"
        )


def _cannot_write(path: Path, error: OSError) -> FetchError:
    why = _FULL.get(error.errno or 0, error.strerror or str(error))
    kept = f" after {size_of(path)} bytes" if path.suffix == ".part" else ""
    return FetchError(f"{path}: cannot be written{kept} ({why}); put that right, run it again and it goes on")


class Transfer:
    """Progress of one download as log lines: bytes, rate since this start, time left."""

    def __init__(self, label: str, total: int, *, have: int = 0, every_s: float = 3.0) -> None:
        self.label, self.total, self.every_s = label, total, every_s
        self.done = self.first = have
        self.start = self._last = time.monotonic()

    def counted(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Hand the chunks on and count them; logs at most every `every_s` seconds."""
        for chunk in chunks:
            yield chunk
            self.done += len(chunk)
            if time.monotonic() - self._last >= self.every_s:
                self._last = time.monotonic()
                logger.info("%s", self)

    def __str__(self) -> str:
        spent = time.monotonic() - self.start
        rate = (self.done - self.first) / spent if spent > 0 else 0.0
        share = 100 * self.done / self.total if self.total else 100.0
        left = f", about {(self.total - self.done) / rate:.0f} s left" if rate > 0 and self.done < self.total else ""
        return f"{self.label}: {_bytes(self.done)} of {_bytes(self.total)} ({share:.0f} %), {_bytes(rate)}/s{left}"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"
