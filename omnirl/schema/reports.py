"""Small records that several stages hand on beside their JSON reports."""

from pathlib import Path
from typing import Literal, NamedTuple

Verdict = Literal["promote", "hold", "reject", "refuse"]
EXIT_CODES: dict[str, int] = {"promote": 0, "hold": 10, "reject": 11, "refuse": 12}
"""Exit codes of `omnirl gate --champion ... --challenger ...`; bad input is 2."""


class Champion(NamedTuple):
    """The model that a candidate is compared with."""

    label: str
    """`warm-start` or `NAME@vX.Y.Z`."""
    folder: Path
    digest: str
    """`omnirl.io.files.sha256_tree` of the folder."""
