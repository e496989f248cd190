"""A local Hub: the part of the Hugging Face download protocol that pinned downloads use.

Serves `ROOT/{models,datasets}/<owner>/<name>/<40-hex revision>/<files>` on 127.0.0.1:

| route                                                | answer                                        |
|------------------------------------------------------|-----------------------------------------------|
| `/api/{models,datasets}/R[/revision/C]`              | id, sha, siblings                             |
| `/api/{models,datasets}/R/tree/C[/FOLDER]?recursive` | files with size, oid and, for big kinds, lfs  |
| `/R/resolve/C/FILE`, `/datasets/R/resolve/C/FILE`    | the bytes; HEAD, ETag, If-Range, one range    |

A repository with a single revision also answers to `main`. Read-only, no login, no redirects. It
never fails on purpose: a test that wants faults subclasses `HubHandler` and overrides `send_reply`.
"""

import hashlib
import json
import re
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from omnirl.io.files import sha256_file

Kind = Literal["models", "datasets"]
PLAIN_SUFFIXES = frozenset({".json", ".jsonl", ".txt", ".md", ".jinja", ".yaml"})
"""Files of these kinds have a Git id; all others are large-file objects whose sha256 the Hub states."""
_API = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^/]+))?(?:/(.*))?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Request(NamedTuple):
    """What was asked for; `path` is unquoted and without its query, names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]


@dataclass(frozen=True)
class Reply:
    """One complete answer. For HEAD, `body` is empty and `headers` hold the Content-Length of GET."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def _json_reply(value: object, status: int = HTTPStatus.OK, **headers: str) -> Reply:
    body = json.dumps(value).encode()
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Reply(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}, body)


def _missing(what: Literal["Repo", "Revision", "Entry"], **headers: str) -> Reply:
    """404 with the error code that tells clients which part of the address is wrong."""
    return _json_reply({"error": f"{what} not found"}, HTTPStatus.NOT_FOUND, X_Error_Code=f"{what}NotFound", **headers)


@lru_cache(maxsize=4096)
def _digests(path: Path, size: int, modified_ns: int) -> tuple[str, str]:  # the last two: a changed file is another key
    """(sha256, Git blob id) of a file."""
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    blob.update(path.read_bytes())
    return sha256_file(path), blob.hexdigest()


def _entry(path: Path, revision_folder: Path) -> dict[str, object]:
    """One line of a tree listing."""
    name = path.relative_to(revision_folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
    stat = path.stat()
    sha256, oid = _digests(path, stat.st_size, stat.st_mtime_ns)
    entry: dict[str, object] = {"type": "file", "path": name, "size": stat.st_size, "oid": oid}
    if path.suffix not in PLAIN_SUFFIXES:
        entry["lfs"] = {"oid": sha256, "size": stat.st_size, "pointerSize": 134}
    return entry


def _revision_folder(root: Path, kind: str, repo: str, revision: str) -> Path | Reply:
    """The folder of a pinned revision (or of the only one, for `main`), or the 404 that explains."""
    folder = root / kind / repo
    if ".." in repo.split("/") or not folder.is_dir():
        return _missing("Repo")
    revisions = {p.name: p for p in folder.iterdir() if re.fullmatch("[0-9a-f]{40}", p.name)}
    if revision == "main" and len(revisions) == 1:
        return next(iter(revisions.values()))
    return revisions.get(revision) or _missing("Revision")


def _info(folder: Path, repo: str) -> Reply:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    flags = {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    siblings = [{"rfilename": name} for name in names]
    return _json_reply({"_id": repo, "id": repo, "modelId": repo, "sha": folder.name, "siblings": siblings, **flags})


def _tree(folder: Path, below: str, *, recursive: bool) -> Reply:
    start = folder / below
    if ".." in below.split("/") or not start.is_dir():
        return _missing("Entry")
    return _json_reply([_entry(p, folder) for p in sorted(start.rglob("*") if recursive else start.iterdir())])


def _wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte (inclusive) of a one-range header; None = the whole file; (size, size) = out of range."""
    found = _RANGE.fullmatch(header or "")
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size - 1
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    return (first, last) if first <= last else (size, size)


def _file(folder: Path, name: str, request: Request) -> Reply:
    path, commit = folder / name, {"X-Repo-Commit": folder.name}
    if ".." in name.split("/") or not path.is_file():
        return _missing("Entry", X_Repo_Commit=folder.name)
    stat = path.stat()
    sha256, oid = _digests(path, stat.st_size, stat.st_mtime_ns)
    plain = path.suffix in PLAIN_SUFFIXES
    etag = f'"{oid if plain else sha256}"'
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag, **commit}
    if not plain:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(stat.st_size)}
    unchanged = request.headers.get("if-range", etag) == etag
    part = _wanted_range(request.headers.get("range"), stat.st_size) if unchanged else None
    if part == (stat.st_size, stat.st_size):
        span = {"Content-Range": f"bytes */{stat.st_size}", "Content-Length": "0"}
        return Reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers | span)
    first, last = part or (0, stat.st_size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if part:
        headers["Content-Range"] = f"bytes {first}-{last}/{stat.st_size}"
    body = b"" if request.method == "HEAD" else path.read_bytes()[first : last + 1]
    return Reply(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, headers, body)


def answer(root: Path, request: Request) -> Reply:
    """The Hub's answer to `request` from the repositories below `root`; never raises for a strange request."""
    if found := _RESOLVE.fullmatch(request.path):
        kind, repo, revision, name = found.groups()
        folder = _revision_folder(root, kind or "models", repo, revision)
        return folder if isinstance(folder, Reply) else _file(folder, name, request)
    if found := _API.fullmatch(request.path):
        kind, repo, what, revision, name = found.groups()
        folder = _revision_folder(root, kind, repo, revision or "main")
        if isinstance(folder, Reply):
            return folder
        if what == "tree":
            recursive = request.query.get("recursive", ["false"])[-1].lower() == "true"
            return _tree(folder, name or "", recursive=recursive)
        return _info(folder, repo)
    return _json_reply({"error": "no such route"}, HTTPStatus.NOT_FOUND)


class HubHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD from `server.root`; subclasses may change what `send_reply` puts on the wire."""

    protocol_version = "HTTP/1.1"
    server: "HubServer"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the client's log tells what was fetched."""

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        request = Request(
            self.command, unquote(parts.path), {k.lower(): v for k, v in self.headers.items()}, parse_qs(parts.query)
        )
        self.send_reply(request, answer(self.server.root, request))

    do_HEAD = do_GET

    def send_reply(self, request: Request, reply: Reply) -> None:
        """Put `reply` on the wire."""
        self.send_head(reply)
        if request.method != "HEAD":
            self.wfile.write(reply.body)

    def send_head(self, reply: Reply) -> None:
        """Put status and headers of `reply` on the wire."""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()


class HubServer(ThreadingHTTPServer):
    """A Hub on a free port of 127.0.0.1, serving the repositories below `root`."""

    daemon_threads = True

    def __init__(self, root: Path, handler: type[HubHandler] = HubHandler) -> None:
        self.root = root
        super().__init__(("127.0.0.1", 0), handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up mid-answer is no error of the Hub."""

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running(server: HubServer) -> Iterator[HubServer]:
    """Serve in a thread while the block runs; afterwards the port is closed."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
