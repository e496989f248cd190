"""One writer per folder: an advisory lock that names its holder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnirl.errors import OmniRLError


@contextmanager
def folder_lock(folder: Path, *, purpose: str) -> Iterator[None]:
    """Hold `folder/.lock` while the block runs.

    Raises:
        OmniRLError: another process holds it; names the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise OmniRLError(
                f"{folder}: {purpose} is already running there ({holder}); wait for it or end it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)
