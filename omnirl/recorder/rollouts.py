"""Collect sampled completions during GRPO; the result is `data/rollouts/train.parquet`.

Each process records its own completions; the trainer stage brings them together at the end. A
checkpoint holds what was recorded up to it, so a resumed run records nothing twice and nothing
is missing. Times do not belong here (they go to `runs/`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from omnirl.errors import ContractError
from omnirl.io.rows import read_rollouts, write_rollouts
from omnirl.schema.rollout import Rollout
from omnirl.schema.row import Row
from omnirl.schema.score import Score


class Scored(NamedTuple):
    """What a completion was paid, and what the trainer made of it."""

    total: float
    """Weighted sum."""
    parts: Mapping[str, Score]
    """Unweighted, by configured reward."""
    advantage: float


class Recorder:
    """Rollouts of one process, in the order they were sampled."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank
        self.rollouts: list[Rollout] = []

    def add(
        self,
        step: int,
        rows: Sequence[Row],
        completions: Sequence[str],
        lengths: Sequence[tuple[int, bool]],
        scored: Sequence[Scored],
    ) -> None:
        """Record one generation batch.

        Args:
            step: optimiser steps done before these completions are learnt from.
            rows: the question of each completion.
            completions: as sampled, special tokens removed.
            lengths: (tokens with end token, truncated) of each.
            scored: rewards and advantage of each.

        Raises:
            ContractError: the lists differ in length.
        """
        if len({len(rows), len(completions), len(lengths), len(scored)}) != 1:
            raise ContractError(
                f"recorder: {len(rows)} rows, {len(completions)} completions, {len(lengths)} lengths, "
                f"{len(scored)} scores; they must be as many"
            )
        for row, text, (tokens, truncated), paid in zip(rows, completions, lengths, scored, strict=True):
            self.rollouts.append(
                Rollout(
                    step=step,
                    rank=self.rank,
                    uid=row.uid,
                    task=row.task,
                    completion=text,
                    tokens=tokens,
                    truncated=truncated,
                    reward=paid.total,
                    advantage=paid.advantage,
                    parts={name: score.value for name, score in paid.parts.items()},
                    statuses={name: score.status for name, score in paid.parts.items()},
                )
            )

    def save(self, folder: Path) -> None:
        """Write what was recorded so far into a checkpoint folder."""
        write_rollouts(self._file(folder), self.rollouts)

    def load(self, folder: Path) -> None:
        """Go on from what a checkpoint folder holds; raises `DataError` when it has no record of this process."""
        self.rollouts = read_rollouts(self._file(folder))

    def _file(self, folder: Path) -> Path:
        return folder / f"rollouts-{self.rank}.parquet"


def in_order(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Rollouts of all processes as one record: by step, then process, then as sampled."""
    return sorted(rollouts, key=lambda r: (r.step, r.rank))
