"""A real Prefect server for this checkout: free port on 127.0.0.1, state below `.omnirl/prefect`.

The server asks every client for the string in `.omnirl/prefect/auth` (made once, readable by its
owner only), refuses requests of foreign web pages, sends no telemetry, and dies with whatever
started it. This module never imports prefect: the server, the worker and each run are processes,
so no setting of the caller reaches them and nothing is left in this one.
"""

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx

from omnirl.errors import OmniRLError, ProcessError
from omnirl.io import files, processes
from omnirl.schema import layout

START_S = 120.0
"""A server that does not answer after this many seconds has failed to start (17 s is usual for the first start)."""
POOL, DEPLOYMENT = "local", "post-training/weekly"


@dataclass(frozen=True)
class Server:
    """A running server and what its clients need in their environment."""

    url: str
    home: Path
    auth: str
    process: "Popen[str] | None"
    """None: somebody else's server of this checkout, which is used and left alone."""

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a client of this server."""
        return {
            **_quiet(self.home),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": self.auth,
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            **{name: _no_proxy(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
        }

    def get(self, path: str) -> httpx.Response:
        """GET `path` of the API.

        Raises:
            httpx.HTTPError: no answer.
        """
        user, _, password = self.auth.partition(":")
        return httpx.get(f"{self.url}/api/{path}", auth=(user, password), timeout=5.0, trust_env=False)


def _quiet(home: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def _no_proxy(given: str) -> str:
    """`given` with this machine added: a proxy cannot reach the local server."""
    return ",".join(filter(None, (given, "127.0.0.1")))


def home_of(root: Path) -> Path:
    """`.omnirl/prefect` below `root`, made for its owner alone."""
    home = root / layout.STATE / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    return home


def _auth(home: Path) -> str:
    """The string that clients must know; made once per checkout."""
    path = home / "auth"
    if not path.is_file():
        files.write_text(path, f"omnirl:{secrets.token_hex(16)}\n")
        path.chmod(0o600)
    return path.read_text(encoding="utf-8").strip()


def running_server(root: Path) -> Server | None:
    """The server that another command of this checkout keeps running, if there is one."""
    home = home_of(root)
    note = home / "server.json"
    if not note.is_file():
        return None
    server = Server(files.read_json(note)["url"], home, _auth(home), None)
    try:
        return server if server.get("admin/version").is_success else None
    except httpx.HTTPError:
        return None


@contextmanager
def prefect_server(root: Path, *, port: int | None = None, ui: bool = False) -> Iterator[Server]:
    """Yield the server of the checkout `root`; one that this call started is stopped at the end.

    Args:
        root: top folder of the checkout.
        port: wanted port; another one is taken where it is in use.
        ui: serve the web pages too.

    Raises:
        ProcessError: the server did not start; names its log.
    """
    found = running_server(root)
    if found is not None:
        yield found
        return
    home = home_of(root)
    url = f"http://127.0.0.1:{_free_port(port)}"
    log = home / "server.log"
    process = processes.start_logged(_server_command(url, ui=ui), log=log, cwd=root, env=_server_environment(url, home))
    try:
        server = Server(url, home, _auth(home), process)
        _wait_until_ready(server, log)
        files.write_json(home / "server.json", {"url": url})
        yield server
    finally:
        (home / "server.json").unlink(missing_ok=True)
        processes.stop(process)


def _server_command(url: str, *, ui: bool) -> list[str]:
    host, _, port = url.removeprefix("http://").partition(":")
    return [program("prefect"), "server", "start", "--host", host, "--port", port, "--ui" if ui else "--no-ui"]


def _server_environment(url: str, home: Path) -> dict[str, str]:
    return {
        **_quiet(home),
        "PREFECT_SERVER_API_AUTH_STRING": _auth(home),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": _auth(home),
    }


def _free_port(wanted: int | None) -> int:
    """`wanted` where nobody listens on it, else any free port of 127.0.0.1."""
    for port in (wanted, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise ProcessError("no free port on 127.0.0.1; the Prefect server cannot be started")


def _wait_until_ready(server: Server, log: Path) -> None:
    start = time.monotonic()
    while time.monotonic() - start < START_S:
        if server.process is not None and server.process.poll() is not None:
            break
        try:
            if server.get("health").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise ProcessError(f"the local Prefect server did not start; its log is {log}")


def program(name: str) -> str:
    """The program `name` of the environment that this process runs in."""
    return str(Path(sys.executable).with_name(name))


def run_flow(root: Path, server: Server, *, on_line: Callable[[str], None]) -> None:
    """Run the flow once in `root`, in a process of its own; its lines go to `on_line`.

    Whatever interrupts this ends the run and its stage first.

    Raises:
        ProcessError: the run failed; carries the stage's own sentence.
    """
    process = processes.start([sys.executable, "-m", "flows"], cwd=root, env=server.environment)
    sentence = ""
    try:
        for line in process.stdout or ():
            if line.startswith("omnirl: "):
                sentence = line.removeprefix("omnirl: ").strip()
            else:
                on_line(line.rstrip("\n"))
        code = process.wait()
    finally:
        processes.stop(process, grace_s=30.0, first=processes.INTERRUPT)
    if code:
        raise ProcessError(sentence or f"the run ended with exit code {code}; the lines above say where")


def ensure_deployment(root: Path, server: Server) -> None:
    """Create the work pool and the deployments of `prefect.yaml` where they are missing.

    Raises:
        ProcessError: Prefect refused; carries its last lines.
    """
    environment = {**server.environment, "OMNIRL_CHECKOUT": str(root)}
    commands = {
        f"work_pools/{POOL}": ["work-pool", "create", POOL, "--type", "process"],
        f"deployments/name/{DEPLOYMENT}": ["--no-prompt", "deploy", "--all"],
    }
    for path, command in commands.items():
        answer = server.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            processes.run([program("prefect"), *command], cwd=root, env=environment)
        elif not answer.is_success:
            raise OmniRLError(f"the Prefect server at {server.url} answers {answer.status_code} for {path}")


def start_worker(root: Path, server: Server) -> "Popen[str]":
    """Start a worker for the pool `local` in `root`; its log is `.omnirl/prefect/worker.log`."""
    command = [program("prefect"), "worker", "start", "--pool", POOL, "--type", "process", "--name", "this-checkout"]
    return processes.start_logged(command, log=server.home / "worker.log", cwd=root, env=server.environment)
