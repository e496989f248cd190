"""Where a run works: the checkout itself (`here`), later a worktree of its own.

A workspace is a folder that holds `params.yaml` and `dvc.yaml`, and the id under which the run
keeps everything with a time in it. This module knows neither stages nor DVC. A further kind
(`worktree`: one git worktree per run, with the shared DVC cache) is one more branch in
`open_workspace` and one more word in `Kind`; tasks see a `Workspace` only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnirl.config import load_params
from omnirl.errors import ConfigError
from omnirl.io.locks import folder_lock
from omnirl.schema import layout

Kind = Literal["here"]


@dataclass(frozen=True)
class Workspace:
    """The folder of a run and the run's id."""

    root: Path
    run_id: str

    def path(self, relative: str) -> Path:
        """`relative` below the workspace."""
        return self.root / relative


def this_checkout() -> Path:
    """The current folder, which must be the top of a checkout with sound parameters.

    Raises:
        ConfigError: it holds no `dvc.yaml` or `params.yaml`, or the parameters break a rule; names the key.
    """
    root = Path.cwd()
    for name in ("dvc.yaml", "params.yaml"):
        if not (root / name).is_file():
            raise ConfigError(f"{root}: holds no {name}; run this from the top folder of a checkout")
    load_params(root / "params.yaml")
    return root


@contextmanager
def open_workspace(kind: Kind, run_id: str) -> Iterator[Workspace]:
    """Yield the workspace of the run `run_id`; only one run works in it at a time.

    Raises:
        ConfigError: the current folder is no checkout of the pipeline.
        OmniRLError: another run is at work in this checkout; names its process.
    """
    root = this_checkout()
    with folder_lock(root / layout.STATE / kind, purpose="a run of the pipeline"):
        yield Workspace(root, run_id)
