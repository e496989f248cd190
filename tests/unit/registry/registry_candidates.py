"""Candidates for the registry that differ by a number; also imported by the processes of the race tests."""

from omnirl.io.files import sha256_bytes
from omnirl.registry.contents import Candidate
from omnirl.registry.records import Reference


def candidate(number: int, **changes) -> Candidate:
    """A candidate with a digest of its own."""
    facts = {
        "name": "tiny-vl",
        "digest": sha256_bytes(str(number).encode()),
        "path": "models/grpo",
        "verdict": "hold",
        "compared_with": Reference(label="warm-start", digest="ab" * 32),
        "preset": "demo",
        "dvc": "0" * 32 + ".dir",
        "run": f"run-{number}",
        "reports": {"gate.json": '{"reasons": ["a"]}', "metrics.json": "{}"},
    }
    return Candidate(**{**facts, **changes})
