"""Start programs: argument lists only, cleaned environment, own process group, nothing left behind.

`GIT_*` and `PREFECT_*` variables of the caller never reach a child unless given on purpose, so a
stray `GIT_DIR` or profile cannot redirect the pipeline.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from omnirl.errors import ProcessError

INTERRUPT = signal.SIGINT
"""What Ctrl-C sends: `stop(first=INTERRUPT)` lets a program end as its user would end it."""
_PR_SET_PDEATHSIG = 1
_FOREIGN_PREFIXES = ("GIT_", "PREFECT_")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without `GIT_*` and `PREFECT_*`, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN_PREFIXES)}
    return {**kept, **(extra or {})}


def die_with_parent() -> None:
    """Of the calling process: be killed when the parent dies, so a killed orchestrator leaves no trainer behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | None = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start `argv` in its own process group with stdin closed; stderr joins stdout."""
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def start_logged(
    argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """As `start`, with the output in the file `log` (begun anew, readable by its owner only)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return start(argv, cwd=cwd, env=env, stdout=descriptor)
    finally:
        os.close(descriptor)


def stop(process: subprocess.Popen[str], *, grace_s: float = 10.0, first: int = signal.SIGTERM) -> None:
    """End the whole process group: `first`, then SIGKILL after `grace_s`; waits for the leader."""
    if process.poll() is None:
        _signal_group(process, first)
        try:
            process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when a second Ctrl-C cuts the waiting short
            _signal_group(process, signal.SIGKILL)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input_text: str | None = None,
    timeout_s: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end and return its output (stdout and stderr apart).

    Raises:
        ProcessError: with `check`, a non-zero exit; always, a missing program or a timeout.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=clean_environment(env),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise ProcessError(f"{argv[0]}: program not found; is it installed?") from None
    except subprocess.TimeoutExpired:
        raise ProcessError(f"{' '.join(argv)}: no end after {timeout_s} s") from None
    if check and done.returncode != 0:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise ProcessError(f"{' '.join(argv)}: exit code {done.returncode}: {last}")
    return done


def stream(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run `argv`, hand each output line to `on_line`, return the exit code.

    Whatever interrupts the caller (Ctrl-C, cancellation, an error in `on_line`) ends the whole
    process group before it is raised further.
    """
    process = start(argv, cwd=cwd, env=env)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip("\n"))
        return process.wait()
    finally:
        stop(process, first=signal.SIGINT)
