"""A Hub that fails on purpose, for tests of whoever downloads.

    hub = FaultyHub(tmp_path / "hub")
    revision = hub.publish("datasets", "acme/boxes", {"a.zip": b"..."})
    with hub:
        hub.fail("a.zip", "cut", at=100)          # the next GET of a.zip ends after 100 bytes
        ... download from hub.address ...
    assert hub.gets("a.zip") == ["whole", "bytes=100-"]

Kinds: `cut` (connection closed after `at` bytes of the body), `flip` (one bit of the last byte, right
length), `404` (file absent), `429`, `503` (with Retry-After), `500`, `gated` (403), `long` / `short`
(Content-Length right, but the Hub's file has one byte more / less than the listing says), `slow`
(`delay` seconds before each 16 KiB), `hang` (headers, `at` bytes, then silence for `delay` seconds),
`no_range` (Range is ignored: 200 with everything). All but the status kinds hit GET only.
"""

import hashlib
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from omnirl.demo.hub_server import HubHandler, HubServer, Kind, Reply, Request, answer, running

FaultKind = Literal["cut", "flip", "404", "429", "503", "500", "gated", "long", "short", "slow", "hang", "no_range"]
STATUS_KINDS = ("404", "429", "503", "500", "gated")


@dataclass
class Fault:
    """What happens to the next `times` requests whose path contains `path`."""

    path: str
    kind: FaultKind
    times: int = 1
    at: int = 0
    delay: float = 0.05
    retry_after: int = 0


class _FaultyHandler(HubHandler):
    server: "_FaultyServer"

    def send_reply(self, request: Request, reply: Reply) -> None:
        self.server.requests.append((request.method, request.path, request.headers.get("range") or "whole"))
        fault = self.server.next_fault(request)
        if fault is None:
            super().send_reply(request, reply)
        elif fault.kind in STATUS_KINDS:
            super().send_reply(request, _status_reply(fault))
        else:
            self._send_damaged(fault, request, reply)

    def _send_damaged(self, fault: Fault, request: Request, reply: Reply) -> None:
        if fault.kind == "no_range":
            plain = request._replace(headers={})
            super().send_reply(plain, answer(self.server.root, plain))
        elif fault.kind == "flip":
            body = reply.body[:-1] + bytes([reply.body[-1] ^ 1])
            super().send_reply(request, Reply(reply.status, reply.headers, body))
        elif fault.kind in ("long", "short"):
            body = reply.body + b"x" if fault.kind == "long" else reply.body[:-1]
            super().send_reply(request, Reply(reply.status, reply.headers | {"Content-Length": str(len(body))}, body))
        elif fault.kind == "slow":
            self.send_head(reply)
            for start in range(0, len(reply.body), 16384):
                time.sleep(fault.delay)
                self.wfile.write(reply.body[start : start + 16384])
        else:  # cut, hang
            self.send_head(reply)
            self.wfile.write(reply.body[: fault.at])
            self.wfile.flush()
            if fault.kind == "hang":
                time.sleep(fault.delay)
            self.close_connection = True


def _status_reply(fault: Fault) -> Reply:
    empty = {"Content-Length": "0"}
    if fault.kind == "gated":
        return Reply(HTTPStatus.FORBIDDEN, {"X-Error-Code": "GatedRepo", **empty})
    if fault.kind == "404":
        return Reply(HTTPStatus.NOT_FOUND, {"X-Error-Code": "EntryNotFound", **empty})
    return Reply(int(fault.kind), {"Retry-After": str(fault.retry_after), **empty})


class _FaultyServer(HubServer):
    def __init__(self, root: Path) -> None:
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str]] = []
        super().__init__(root, _FaultyHandler)

    def next_fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            wanted = fault.kind in STATUS_KINDS or request.method == "GET"
            if fault.path in request.path and fault.times > 0 and wanted:
                fault.times -= 1
                return fault
        return None


class FaultyHub:
    """A running Hub (inside `with`) whose repositories are written and whose faults are ordered by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._server: _FaultyServer | None = None

    def publish(self, kind: Kind, repo: str, files: dict[str, bytes], revision: str | None = None) -> str:
        """Write a revision (named by its contents unless given) and return its 40-hex name."""
        total = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False)
        revision = revision or total.hexdigest()
        for name, data in files.items():
            path = self.root / kind / repo / revision / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return revision

    def __enter__(self) -> Self:
        self._server = _FaultyServer(self.root)
        self._running = running(self._server)
        self._running.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, trace)

    @property
    def server(self) -> _FaultyServer:
        assert self._server is not None, "use FaultyHub in a with statement"
        return self._server

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return self.server.address

    def fail(
        self, path: str, kind: FaultKind, *, times: int = 1, at: int = 0, delay: float = 0.05, retry_after: int = 0
    ) -> None:
        """Let the next `times` requests whose path contains `path` fail in the way `kind` (see the module)."""
        self.server.faults.append(Fault(path, kind, times, at, delay, retry_after))

    def gets(self, path: str) -> list[str]:
        """The Range header (or `whole`) of each GET whose path contains `path`, in order."""
        return [span for method, asked, span in self.server.requests if method == "GET" and path in asked]
