"""Many processes at once, and processes killed at any instant: one winner each, no gap, nothing lost."""

import itertools
import random
import signal
import subprocess
import sys
import time

import pytest
from registry_candidates import candidate

from omnirl.io.files import sha256_bytes
from omnirl.registry.store import Registry

WORKER = """
import random, sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from registry_candidates import candidate
from omnirl.errors import ConflictError
from omnirl.registry.store import Registry

root, me, rounds, what = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = random.Random(me)
registry = Registry(root)
won = lost = 0
(root.parent / f"ready-{{me}}").touch()
while not (root.parent / "go").exists():
    time.sleep(0.005)
for n in range(rounds):
    if what == "register":
        registry.register(candidate(n))                 # the same for everybody
        registry.register(candidate(1000 * (me + 1) + n))  # nobody else's
        continue
    champion, event = registry.champion_event("tiny-vl")
    time.sleep(rng.uniform(0, 0.03))
    other = "v0.0.2" if champion is not None and champion.version == "v0.0.1" else "v0.0.1"
    try:
        registry.promote(f"tiny-vl@{{other}}", why=f"process {{me}}", expected=event)
        won += 1
    except ConflictError:
        lost += 1
print(won, lost)
"""


def together(checkout, what: str, processes: int, rounds: int) -> list[list[int]]:
    """Run `processes` workers that start at the same moment; returns what each printed."""
    script = WORKER.format(here=str(__file__).rpartition("/")[0])
    argv = [sys.executable, "-c", script, str(checkout.root)]
    workers = [
        subprocess.Popen([*argv, str(me), str(rounds), what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for me in range(processes)
    ]
    while not all((checkout.root.parent / f"ready-{me}").exists() for me in range(processes)):
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.01)
    (checkout.root.parent / "go").touch()
    outputs = [worker.communicate(timeout=280) for worker in workers]
    assert [w.returncode for w in workers] == [0] * processes, outputs
    return [[int(word) for word in out.split()] for out, _ in outputs]


def register_together(checkout, processes: int, rounds: int) -> None:
    together(checkout, "register", processes, rounds)
    versions = Registry(checkout.root).versions("tiny-vl")
    assert [v.version for v in versions] == [f"v0.0.{n + 1}" for n in range(len(versions))]
    numbers = [*range(rounds), *(1000 * (me + 1) + n for me in range(processes) for n in range(rounds))]
    assert sorted(v.record.digest for v in versions) == sorted(sha256_bytes(str(n).encode()) for n in numbers)
    assert checkout.git("fsck", "--strict", "--no-dangling") == ""


def promote_together(checkout, processes: int, rounds: int) -> None:
    registry = Registry(checkout.root)
    for n in range(2):
        registry.register(candidate(n))
    outcomes = together(checkout, "promote", processes, rounds)
    won, lost = (sum(column) for column in zip(*outcomes, strict=True))
    events = registry.history("tiny-vl")
    assert won + lost == processes * rounds
    assert won >= rounds / processes
    assert lost > 0, "no two processes met: the race was not run"
    assert [e.number for e in events] == list(range(1, won + 1))
    assert [e.version for e in events] == ["v0.0.1" if n % 2 == 0 else "v0.0.2" for n in range(won)]
    assert all(b.time > a.time for a, b in itertools.pairwise(events))
    assert checkout.git("fsck", "--strict", "--no-dangling") == ""


def test_processes_registering_at_once_leave_no_gap_and_no_double(checkout):
    register_together(checkout, processes=3, rounds=2)


def test_processes_promoting_at_once_have_one_winner_for_each_event(checkout):
    promote_together(checkout, processes=4, rounds=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_registering_at_once_long(checkout):
    register_together(checkout, processes=6, rounds=10)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_promoting_at_once_long(checkout):
    promote_together(checkout, processes=6, rounds=40)


STAGE = """
import sys
from pathlib import Path
from omnirl.config import load_params
from omnirl.registry import run
root = Path(sys.argv[1])
print("ready", flush=True)
run.run(load_params(root / "params.yaml"), root)
"""


def kill_series(checkout, kills: int, seed: int) -> None:
    """Kill the stage at random instants; then run it to its end and look at what is there."""
    rng, argv = random.Random(seed), [sys.executable, "-c", STAGE, str(checkout.root)]
    start = time.monotonic()
    candidates = [checkout.candidate("model 0")]
    subprocess.run(argv, check=True, capture_output=True)
    whole = time.monotonic() - start
    for n in range(1, kills + 1):
        candidates.append(checkout.candidate(f"model {n}"))
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()
        time.sleep(rng.uniform(0, whole * 0.7))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        subprocess.run(argv, check=True, capture_output=True)
        first = (checkout.root / "reports/registration.json").read_bytes()
        assert candidates[-1].encode() in first
    versions = Registry(checkout.root).versions("tiny-vl")
    assert [v.record.digest for v in versions[1:]] == candidates, f"seed {seed}"
    assert [v.version for v in versions] == [f"v0.0.{n + 1}" for n in range(kills + 2)]
    assert [e.version for e in Registry(checkout.root).history("tiny-vl")] == ["v0.0.2"]
    assert checkout.git("fsck", "--strict", "--no-dangling") == ""


def test_killed_at_any_instant_the_next_run_ends_as_if_nothing_had_happened(checkout):
    kill_series(checkout, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_instant_long(checkout):
    kill_series(checkout, kills=60, seed=2)
