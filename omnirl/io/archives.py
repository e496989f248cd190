"""Read members of zip archives in place; nothing is ever unpacked. Small archives are also made here.

A reference is `folder/file.zip::member` (or a plain path) below a root folder. Escapes,
encrypted and double members, bombs (size and ratio, counted while reading) are refused.
"""

import io
import lzma
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from omnirl.errors import DataError

MAX_MEMBER_BYTES = 512 * 1024 * 1024
MAX_RATIO = 200
"""A member may grow to this many times its packed size (above 1 MB) before it counts as a bomb."""
_OPEN = threading.local()


def split_reference(reference: str) -> tuple[str, str | None]:
    """`a/b.zip::c/d.jpg` -> (`a/b.zip`, `c/d.jpg`); a plain path -> (path, None)."""
    path, mark, member = reference.partition("::")
    return path, member if mark else None


def resolve_below(root: Path, relative: str) -> Path:
    """The file `relative` below `root`.

    Raises:
        DataError: the path is absolute, holds `..`, or a symbolic link leads out of `root`.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative or ":" in relative:
        raise DataError(f"{relative!r}: not a path below {root}")
    path = root / pure
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{relative!r}: leads out of {root}")
    return path


def list_members(archive: Path) -> list[str]:
    """Names of the regular files in `archive`, in its order.

    Raises:
        DataError: not a zip, truncated, or a member name is hostile, encrypted or stands twice.
    """
    return list(_members(archive))


def has_member(archive: Path, member: str) -> bool:
    """Whether `archive` holds the file `member`; raises `DataError` when it is not a sound zip."""
    return member in _members(archive)


def read_reference(root: Path, reference: str, *, limit: int = MAX_MEMBER_BYTES) -> bytes:
    """Bytes of a plain file or of a zip member below `root`, at most `limit`.

    Raises:
        DataError: missing file or member, too large, bomb, damaged; names the reference.
    """
    relative, member = split_reference(reference)
    path = resolve_below(root, relative)
    if not path.is_file():
        raise DataError(f"{reference}: no such file below {root}")
    if member is None:
        if path.stat().st_size > limit:
            raise DataError(f"{reference}: larger than {limit} bytes")
        return path.read_bytes()
    return read_member(path, member, limit=limit)


def read_member(archive: Path, member: str, *, limit: int = MAX_MEMBER_BYTES) -> bytes:
    """Bytes of one member, at most `limit`; raises as `read_reference`."""
    info = _members(archive).get(member)
    if info is None:
        raise DataError(f"{archive}::{member}: no such member")
    allowed = min(limit, max(1024 * 1024, info.compress_size * MAX_RATIO))
    try:
        with _opened(archive).open(info) as handle:
            data = handle.read(allowed + 1)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise DataError(f"{archive}::{member}: damaged ({error})") from None
    if len(data) > allowed:
        raise DataError(f"{archive}::{member}: unpacks to more than {allowed} bytes; refused as too large or a bomb")
    return data


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of `members` in their order, without times or owners: equal members give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, data)
    return packed.getvalue()


def _key(archive: Path) -> tuple[str, int, int]:
    try:
        stat = archive.stat()
    except FileNotFoundError:
        raise DataError(f"{archive}: no such file") from None
    return str(archive), stat.st_mtime_ns, stat.st_size


def _opened(archive: Path) -> zipfile.ZipFile:
    """This thread's open handle of `archive` (a handle is not shared among threads)."""
    _members(archive)
    return _OPEN.handles[_key(archive)][0]


def _members(archive: Path) -> dict[str, zipfile.ZipInfo]:
    if not hasattr(_OPEN, "handles"):
        _OPEN.handles = {}
    key = _key(archive)
    if key not in _OPEN.handles:
        try:
            handle = zipfile.ZipFile(archive)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"{archive}: not a complete zip archive ({error}); fetch it again") from None
        _OPEN.handles[key] = (handle, _checked(archive, handle))
    return _OPEN.handles[key][1]


def _checked(archive: Path, handle: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in handle.infolist():
        if info.is_dir():
            continue
        parts = info.filename.split("/")
        if ".." in parts or "" in parts or "\\" in info.filename or ":" in parts[0]:
            raise DataError(f"{archive}: refused, the member {info.filename!r} leads out of the archive")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: refused, the member {info.filename!r} is encrypted")
        if info.filename in members:
            raise DataError(f"{archive}: refused, the member {info.filename!r} stands twice")
        members[info.filename] = info
    return members
