"""In which order rows are seen: every batch holds all data sets, every epoch is a new, repeatable shuffle.

An order depends on the seed and the epoch alone, so a run that is resumed in epoch 3 sees what an
uninterrupted one would have seen.
"""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler


def interleave(sizes: Sequence[int], seed: int, epoch: int) -> list[int]:
    """Indices of all rows for one epoch: each data set shuffled, then spread evenly over the whole.

    Data sets of equal size alternate (a, b, c, a, b, c, ...); of unequal size, each has its share
    in every stretch.

    Args:
        sizes: rows per data set; row indices count through them in this order.
        seed: of the run.
        epoch: counted from 0.
    """
    placed = []
    start = 0
    for number, size in enumerate(sizes):
        rows = list(range(start, start + size))
        random.Random(f"{seed}/{epoch}/{number}").shuffle(rows)
        placed += [((k + 0.5) / size, number, row) for k, row in enumerate(rows)]
        start += size
    return [row for _, _, row in sorted(placed)]


class EpochOrder(Sampler[int]):
    """Interleaved rows, each once per epoch, for SFT."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self.sizes, self.seed, self.epoch = tuple(sizes), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(interleave(self.sizes, self.seed, self.epoch))

    def __len__(self) -> int:
        return sum(self.sizes)


class GroupedEpochOrder(RepeatSampler):
    """Interleaved rows, each repeated for its group and for every pass over the batch, for GRPO.

    Replaces the shuffle of TRL's `RepeatSampler`, whose generator is seeded once: a process that
    resumes in a later epoch would replay the first epoch's order.
    """

    def __init__(self, base: RepeatSampler, sizes: Sequence[int], seed: int) -> None:
        super().__init__(
            data_source=base.data_source,
            mini_repeat_count=base.mini_repeat_count,
            batch_size=base.batch_size,
            repeat_count=base.repeat_count,
            shuffle=False,
        )
        self.order = EpochOrder(sizes, seed)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch, also after a resume."""
        self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        rows = list(self.order)
        for start in range(0, len(rows) - self.batch_size + 1, self.batch_size):
            for _ in range(self.repeat_count):
                for row in rows[start : start + self.batch_size]:
                    for _ in range(self.mini_repeat_count):
                        yield row
