"""The Hub's download protocol: file list of a pinned revision, and the bytes of one file, resumable.

Addresses, headers and the token come from `huggingface_hub`. The requests are made here, because the
library checks only sizes, starts a killed download again from zero, waits for ever on a silent host
and tries an unreachable one for 23 s whatever was configured. Which files are wanted, and where they
belong, is not known here.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers

from omnirl.errors import DataError, FetchError
from omnirl.io import download, files

logger = logging.getLogger(__name__)

Kind = Literal["model", "dataset"]
T = TypeVar("T")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Never reached through a proxy, whatever the environment says."""
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_GOOD_TRY = 16 * 1024 * 1024
"""A try that brought this many bytes is no failure: the count of tries starts again."""
_LOGIN = "log in with `hf auth login` (or set HF_TOKEN)"
_ANSWERS = {
    "GatedRepo": "the repository is gated; accept its terms on {host} in a browser, then "
    + _LOGIN
    + " and run it again",
    "RepoNotFound": "{host} has no such repository, or it is private; check the name, or " + _LOGIN,
    "RevisionNotFound": "{host} has the repository but not this revision; check the commit in params.yaml",
    "EntryNotFound": "{host} has no such file (moved or renamed?); check the path in params.yaml",
    "401": "{host} answers 401 (private or gated); " + _LOGIN + " and run it again",
    "403": "{host} answers 403 (private or gated); " + _LOGIN + " and run it again",
    "404": "{host} answers 404 (no such repository, revision or file); check the names in params.yaml",
}
"""What to do, by the Hub's `X-Error-Code`, else by status."""
_MAX_WAIT_S = 30.0
_MAX_RETRY_AFTER_S = 600.0
_MAX_PAGES = 1000
_MAX_LIST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a revision, as the Hub lists it."""

    path: str
    size: int
    sha256: str | None
    """Known for large files (LFS); None for files that Git itself holds."""
    oid: str
    """Git object id; of the pointer for LFS files."""


class UnreachableError(FetchError):
    """The Hub was tried as often as allowed and never answered in full."""


class _AgainError(Exception):
    """This try failed, the next may not."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _RangeError(_AgainError):
    """The server cannot go on where the part file ends."""


class Hub:
    """One Hub (or mirror), with a time limit, retries and back-off for each request.

    Args:
        endpoint: http(s) address.
        timeout_s: seconds without a byte before a try counts as failed.
        retries: further tries after the first.
        backoff_s: wait before the second try; doubles up to 30 s. `Retry-After` of the server wins.
        send_token: let `huggingface_hub` add the user's token; never sent over plain http.
    """

    def __init__(self, endpoint: str, *, timeout_s: float, retries: int, backoff_s: float, send_token: bool) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.retries, self.backoff_s = retries, backoff_s
        secure = urlsplit(self.endpoint).scheme == "https"
        headers = build_hf_headers(token=None if send_token and secure else False, library_name="omnirl")
        self._client = httpx.Client(
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=5,
            mounts={f"all://{host}": None for host in _LOOPBACK},
        )

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def list_files(self, kind: Kind, repo: str, revision: str) -> list[RemoteFile]:
        """Every file of `repo` at `revision`, in the Hub's order.

        Raises:
            FetchError: unreachable, unknown repository or revision, gated, or an answer of another form.
        """
        url = f"{self.endpoint}/api/{kind}s/{repo}/tree/{quote(revision, safe='')}?recursive=true&expand=false"
        where = f"{repo} at revision {revision}"
        found: list[RemoteFile] = []
        for _ in range(_MAX_PAGES):
            body, following = self._patiently(lambda url=url: self._get_page(url, where), where)
            found += [_remote_file(item, where) for item in body if _is_file(item, where)]
            if following is None:
                return found
            url = self._same_host(str(httpx.URL(url).join(following)), where)
        raise FetchError(f"{where}: the file list has more than {_MAX_PAGES} pages")

    def fetch(self, kind: Kind, repo: str, revision: str, file: RemoteFile, part: Path) -> None:
        """Bring `part` to the full size of `file`, going on from what it holds already.

        Raises:
            FetchError: as `list_files`, or the file is not there, or the disk is full; the part file stays.
        """
        address = hf_hub_url(repo, file.path, repo_type=kind, revision=revision, endpoint=self.endpoint)
        where = f"{repo}/{file.path} at revision {revision}"
        if download.size_of(part) > file.size:
            download.remove(part)
        transfer = download.Transfer(f"{repo}/{file.path}", file.size, have=download.size_of(part))
        if transfer.first:
            logger.info("%s: going on at byte %d of %d", where, transfer.first, file.size)
        if file.size == 0:
            download.append(part, [], at=0)
        while download.size_of(part) < file.size:
            self._patiently(
                lambda: self._get_bytes(address, where, file, part, transfer), where, lambda: download.size_of(part)
            )
        logger.info("%s", transfer)

    def _get_page(self, url: str, where: str) -> tuple[list[Any], str | None]:
        with self._stream(url, {}, where) as response:
            body = b"".join(_limited(response.iter_raw(), _MAX_LIST_BYTES, where))
            try:
                page = files.parse_json(body, where=f"file list of {where}")
            except DataError as error:
                raise FetchError(f"{error}; is {self.endpoint} the address of a Hub?") from None
            if not isinstance(page, list):
                raise FetchError(f"{where}: the file list is no list; is {self.endpoint} the address of a Hub?")
            return page, response.links.get("next", {}).get("url")

    def _get_bytes(self, url: str, where: str, file: RemoteFile, part: Path, transfer: download.Transfer) -> None:
        """One request; appends what comes. Raises `_AgainError` when the file is not complete afterwards."""
        have = download.size_of(part)
        try:
            with self._stream(url, {"Range": f"bytes={have}-"} if have else {}, where) as response:
                at = _start_of(response, have)
                if at != have:
                    logger.warning("%s: the server does not go on at byte %d; starting again at %d", where, have, at)
                transfer.done = at
                body = transfer.counted(_limited(response.iter_raw(), file.size - at, where))
                now = download.append(part, body, at=at)
        except _RangeError:
            download.remove(part)
            raise
        if now < file.size:
            raise _AgainError(f"the answer ended at byte {now} of {file.size}")

    @contextlib.contextmanager
    def _stream(self, url: str, headers: dict[str, str], where: str) -> Iterator[httpx.Response]:
        """GET `url`; transport failures and busy answers become `_AgainError`, final ones `FetchError`."""
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._check(response, where)
                yield response
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise FetchError(f"{where}: {self.endpoint} leads to an address that cannot be used ({error})") from None
        except httpx.TimeoutException:
            raise _AgainError("no byte within the time limit") from None
        except httpx.TransportError as error:
            raise _AgainError(str(error) or type(error).__name__) from None

    def _check(self, response: httpx.Response, where: str) -> None:
        status, code = response.status_code, response.headers.get("X-Error-Code", "")
        if status in (200, 206):
            return
        if status == 416:
            raise _RangeError("the server refuses the range")
        if status in _AGAIN:
            raise _AgainError(f"the server answers {status}", _retry_after(response))
        sentence = _ANSWERS.get(code) or _ANSWERS.get(str(status)) or "{host} answers {status}"
        raise FetchError(f"{where}: {sentence.format(host=self.endpoint, status=status)}")

    def _patiently(self, attempt: Callable[[], T], where: str, received: Callable[[], int] = lambda: 0) -> T:
        """Run `attempt` until it succeeds, at most `retries` more times, waiting longer each time."""
        failures = 0
        while True:
            before = received()
            try:
                return attempt()
            except _AgainError as error:
                failures = 1 if received() - before >= _GOOD_TRY else failures + 1
                if failures > self.retries:
                    raise self._given_up(where, error) from None
                wait = min(self.backoff_s * 2 ** (failures - 1), _MAX_WAIT_S) if error.wait_s is None else error.wait_s
                logger.warning("%s: %s; try %d of %d in %.1f s", where, error, failures + 1, self.retries + 1, wait)
                time.sleep(wait)

    def _same_host(self, url: str, where: str) -> str:
        """The next page of a list must come from the same Hub: the token travels with the request."""
        if urlsplit(url)[:2] != urlsplit(self.endpoint)[:2]:
            raise FetchError(f"{where}: the file list goes on at another host ({url}); refused")
        return url

    def _given_up(self, where: str, error: _AgainError) -> UnreachableError:
        return UnreachableError(
            f"{where}: {urlsplit(self.endpoint).netloc} gave no complete answer in {self.retries + 1} tries ({error}); "
            "check fetch.endpoint, the network and the proxy, then run it again"
        )


def _start_of(response: httpx.Response, have: int) -> int:
    """Byte of the file at which this answer begins."""
    if response.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) > have:
        raise _RangeError("the server answers with another range")
    return int(match[1])


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait, at most ten minutes; None when it does not say (dates are not read)."""
    text = response.headers.get("Retry-After", "").strip()
    return min(float(text), _MAX_RETRY_AFTER_S) if re.fullmatch(r"\d{1,9}", text) else None


def _limited(chunks: Iterable[bytes], limit: int, where: str) -> Iterator[bytes]:
    """The chunks, as long as they stay within `limit` bytes."""
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise FetchError(f"{where}: the server sends more bytes than its file list says; try another mirror")
        yield chunk


def _is_file(item: Any, where: str) -> bool:
    if not isinstance(item, dict):
        raise FetchError(f"{where}: an entry of the file list is no object")
    return item.get("type") == "file"


def _remote_file(item: dict[str, Any], where: str) -> RemoteFile:
    lfs = item.get("lfs") or {}
    path, size, oid = item.get("path"), item.get("size"), item.get("oid")
    sha256 = lfs.get("oid") if isinstance(lfs, dict) else None
    if not (isinstance(path, str) and isinstance(size, int) and size >= 0 and isinstance(oid, str)):
        raise FetchError(f"{where}: an entry of the file list lacks path, size or oid")
    if not re.fullmatch(r"[0-9a-f]{40}", oid) or (sha256 is not None and not _is_sha256(sha256)):
        raise FetchError(f"{where}: {path}: the file list holds something that is no digest")
    return RemoteFile(path, size, sha256, oid)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
