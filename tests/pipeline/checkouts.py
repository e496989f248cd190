"""Real checkouts in temporary folders: the files of this working tree, their own Git history, DVC and Prefect state.

They share this environment's programs; nothing outside the folder is read or written.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from omnirl.io.files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


@dataclass
class Done:
    """A finished command."""

    code: int
    text: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass
class Running:
    """A command that runs, its output in a file."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, timeout_s: float = 240) -> None:
        """Wait until `text` stands in the output."""
        end = time.monotonic() + timeout_s
        while text not in self.text:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.text}"
            assert time.monotonic() < end, f"no {text!r} after {timeout_s} s: {self.text}"
            time.sleep(0.1)

    def interrupt(self, timeout_s: float = 60) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=timeout_s)

    def end(self) -> None:
        """End what a failed test has left."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@dataclass
class Checkout:
    """One checkout and how to run commands in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def env(self, **extra: str) -> dict[str, str]:
        path = os.pathsep.join((str(PROGRAMS), os.environ["PATH"]))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PREFECT_", "DVC_"))}
        return {**kept, "PATH": path, "OMP_NUM_THREADS": "1", **self.environment, **extra}

    @contextmanager
    def running(self, *argv: str, **env: str) -> Iterator[Running]:
        """Start a command in a session of its own; it is ended when the block is left."""
        log = self.root.parent / f"{uuid.uuid4().hex}.log"
        with log.open("w") as handle:
            process = subprocess.Popen(
                argv,
                cwd=self.root,
                env=self.env(**env),
                stdout=handle,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        running = Running(process, log)
        try:
            yield running
        finally:
            running.end()

    def run(self, *argv: str, timeout_s: float = 600, **env: str) -> Done:
        """Run a command to its end."""
        start = time.monotonic()
        with self.running(*argv, **env) as running:
            code = running.process.wait(timeout=timeout_s)
        return Done(code, running.text, time.monotonic() - start)

    def locked(self) -> list[str]:
        """Stages that dvc.lock knows."""
        path = self.root / "dvc.lock"
        return list(read_yaml(path)["stages"]) if path.is_file() else []

    def git(self, *argv: str) -> str:
        command = ["git", *IDENTITY, *argv]
        return subprocess.run(command, cwd=self.root, env=self.env(), capture_output=True, text=True, check=True).stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "checkout")

    def alive(self) -> list[str]:
        """Command lines of processes that still work in this checkout."""
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


def make_checkout(folder: Path) -> Checkout:
    """Copy this working tree (tracked and new files, nothing ignored) to `folder/checkout`, as one commit."""
    root = folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("git: not a Git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    (folder / "home").mkdir()
    checkout = Checkout(root, {"HOME": str(folder / "home")})  # no Git identity, no settings of the user
    (root / "dvc.lock").unlink(missing_ok=True)
    checkout.git("init", "-q")
    checkout.commit()
    return checkout


def make_stand_in(folder: Path) -> Checkout:
    """A checkout whose stages are played by `stand_in.py`."""
    checkout = make_checkout(folder)
    script = checkout.root / ".venv/bin/omnirl"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("stand_in.py").read_text())
    script.chmod(0o755)
    return checkout
