"""Progress as log lines: what runs, how far, how long still. Works through pipes, where bars do not."""

import logging
import time

logger = logging.getLogger(__name__)


class Progress:
    """Count units of work; logs at the start of work, at most every `every_s` seconds, and at the end."""

    def __init__(self, label: str, total: int, *, every_s: float = 3.0) -> None:
        self.label, self.total, self.every_s = label, total, every_s
        self.done, self.start = 0, time.monotonic()
        self._last = self.start

    def add(self, units: int = 1, note: str = "") -> None:
        """`units` more are done; `note` is appended to the line."""
        self.done += units
        now = time.monotonic()
        if now - self._last >= self.every_s or (self.done >= self.total and units):
            self._last = now
            self._log(now, note)

    def _log(self, now: float, note: str) -> None:
        share = self.done / self.total if self.total else 1.0
        spent = now - self.start
        left = spent / share - spent if 0 < share < 1 else 0.0
        rest = f", about {left:.0f} s left" if share < 1 else f", {spent:.1f} s"
        logger.info(
            "%s: %d/%d (%.0f %%)%s%s", self.label, self.done, self.total, 100 * share, rest, f"; {note}" if note else ""
        )
