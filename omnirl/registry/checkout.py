"""Fetch the model of a registered version into `.omnirl/champions/`, with the program `dvc`.

Bytes come from DVC's cache or remote and count only when their digest is the recorded one; until
then they lie in a temporary folder. Knows nothing of what the model is.
"""

import logging
import shutil
import sys
import uuid
from pathlib import Path

from omnirl.errors import ProcessError, RegistryError
from omnirl.io import files, processes
from omnirl.registry.records import Version
from omnirl.registry.store import Registry
from omnirl.schema import layout
from omnirl.schema.reports import Champion

logger = logging.getLogger(__name__)

CHAMPIONS = f"{layout.STATE}/champions"


def materialise(root: Path, label: str) -> Champion:
    """The model `NAME@vX.Y.Z` as a folder below `root/.omnirl/champions/`.

    A folder that is there already is used again when its digest is right, and replaced when not.

    Raises:
        RegistryError: no such version, DVC cannot fetch it, or the bytes are not the recorded ones.
    """
    version = Registry(root).version(label)
    record = version.record
    if record is None:
        raise RegistryError(f"{label}: was not recorded by omnirl, so its digest is unknown and its model is not used")
    folder = root / CHAMPIONS / label
    if folder.is_dir() and _is_sound(folder, record.digest):
        return Champion(label, folder, record.digest)
    if record.dvc is None:
        raise RegistryError(
            f"{label}: was recorded without DVC, so its model was not kept; `dvc repro` records it again"
        )
    logger.info("registry: fetching %s", label)
    with files.atomic_folder(folder) as temporary:
        _fetch(root, version, record.path, temporary)
        if not _is_sound(temporary, record.digest):
            raise RegistryError(
                f"{label}: DVC's bytes are not the recorded model (sha256 differs); cache or remote is damaged"
            )
    return Champion(label, folder, record.digest)


def _fetch(root: Path, version: Version, path: str, target: Path) -> None:
    """Let `dvc get` write the model into a sub-folder of `target`, then move its content up."""
    inner = target / uuid.uuid4().hex
    argv = [dvc_program(), "get", ".", path, "--rev", version.commit, "-o", str(inner)]
    try:
        processes.run(argv, cwd=root, env={"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"})
    except ProcessError as error:
        raise RegistryError(
            f"{version.label}: its model cannot be fetched; try `dvc pull` or check the remote ({error})"
        ) from None
    for child in list(inner.iterdir()):
        child.rename(target / child.name)
    inner.rmdir()


def _is_sound(folder: Path, digest: str) -> bool:
    return not any(p.is_symlink() for p in folder.rglob("*")) and files.sha256_tree(folder) == digest


def dvc_program() -> str:
    """Path of the `dvc` of this environment, else the one on PATH.

    Raises:
        RegistryError: there is none.
    """
    beside = Path(sys.executable).with_name("dvc")
    found = str(beside) if beside.is_file() else shutil.which("dvc")
    if found is None:
        raise RegistryError("the program dvc was not found; install it into this environment (`pip install dvc`)")
    return found
