"""The demo's own Hub: data sets and a base model, made once, then served on 127.0.0.1.

Everything lies in `.omnirl/hub/<fingerprint>/`; the fingerprint covers `fetch.demo`, the names of
the repositories and the code of this package. The folder appears complete or not at all. `manifest.json`
beside the repositories is what a team would write into `params.yaml`: the pinned revisions and the sha256
of every file. They are not in `params.yaml` because trained weights differ between processors.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omnirl.config import Demo, Params
from omnirl.demo import archives
from omnirl.demo.hub_server import HubServer, Kind, running
from omnirl.errors import ConfigError, DataError
from omnirl.io import files
from omnirl.io.locks import folder_lock
from omnirl.schema import layout

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


@contextmanager
def serve(params: Params, root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make what is missing below `root`, serve it while the block runs, yield (address, manifest).

    Raises:
        OmniRLError: as `make`.
    """
    folder = make(params, root)
    with running(HubServer(folder)) as server:
        logger.info("demo: Hub at %s", server.address)
        yield server.address, files.read_json(folder / MANIFEST)


def make(params: Params, root: Path) -> Path:
    """The folder of the demo's repositories; made when it is missing or damaged.

    Interrupted, it leaves nothing half-done and the next call starts again.

    Raises:
        ConfigError: `fetch` asks for something the demo does not make.
        OmniRLError: the disk is full, or another process is making it.
    """
    demo = _checked(params)
    hub = root / layout.STATE / "hub"
    folder = hub / fingerprint(params)
    if _is_complete(folder):
        return folder
    with folder_lock(hub, purpose="making the demo's data and base model"):
        files.sweep_temporaries(hub)
        with files.atomic_folder(folder) as place:
            _fill(params, demo, place)
        for old in hub.iterdir():
            if old.is_dir() and old != folder:
                shutil.rmtree(old)
    return folder


def fingerprint(params: Params) -> str:
    """Hex digest of everything the contents follow from: parameters, repository names, this package's code."""
    demo = _checked(params)
    code = {p.name: files.sha256_file(p) for p in sorted(Path(__file__).parent.glob("*.py"))}
    names = [params.fetch.model.repo, *(d.repo for d in params.fetch.datasets)]
    facts = {"demo": demo.model_dump(), "repositories": names, "code": code}
    return files.sha256_bytes(json.dumps(facts, sort_keys=True).encode())[:16]


def _checked(params: Params) -> Demo:
    """`fetch.demo`, if the demo can make all that `fetch` asks for."""
    demo, datasets = params.fetch.demo, params.fetch.datasets
    if demo is None:
        raise ConfigError(
            "fetch.demo is null, so there is nothing the demo's Hub could make; see `omnirl preset show demo`"
        )
    if len(datasets) != 1:
        raise ConfigError(f"fetch.datasets: the demo makes one repository, {len(datasets)} are asked for")
    made = {plan.archive for plan in archives.PLANS} | {p.pictures_archive for p in archives.PLANS if p.pictures}
    for file in datasets[0].files:
        if file.path not in made:
            raise ConfigError(
                f"fetch.datasets: the demo does not make {file.path!r}; it makes {', '.join(sorted(made))}"
            )
    return demo


def _fill(params: Params, demo: Demo, place: Path) -> None:
    """Data and model into `place`, then the manifest that pins both."""
    from omnirl.demo import base_recipe  # noqa: PLC0415  torch takes seconds, and a Hub that exists needs none

    logger.info("demo: drawing %d scenes", sum(_rows(demo, plan.use) for plan in archives.PLANS))
    data, model = place / "data", place / "model"
    for name, content in archives.build(demo).items():
        files.write_bytes(data / name, content)
    base_recipe.make(demo, model)
    pinned = {params.fetch.datasets[0].repo: _pin(place, "datasets", params.fetch.datasets[0].repo, data)}
    pinned[params.fetch.model.repo] = _pin(place, "models", params.fetch.model.repo, model)
    sha256 = {repo: _sha256(folder) for repo, folder in pinned.items()}
    folders = {repo: folder.relative_to(place).as_posix() for repo, folder in pinned.items()}
    revisions = {repo: folder.name for repo, folder in pinned.items()}
    files.write_json(place / MANIFEST, {"revisions": revisions, "sha256": sha256, "folders": folders})


def _rows(demo: Demo, use: str) -> int:
    return {"train": demo.train_rows, "weak": demo.weak_rows, "eval": demo.eval_rows}[use]


def _pin(place: Path, kind: Kind, repo: str, source: Path) -> Path:
    """Move `source` to where the server looks for this repository; its revision is named by its contents."""
    revision = place / kind / repo / files.sha256_tree(source)[:40]
    revision.parent.mkdir(parents=True)
    return source.rename(revision)


def _sha256(folder: Path) -> dict[str, str]:
    """Name -> sha256 of every file of a revision."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): files.sha256_file(p) for p in found}


def _is_complete(folder: Path) -> bool:
    """Whether every file of the manifest is there, unchanged."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = files.read_json(folder / MANIFEST)
        sound = all(
            _sha256(folder / manifest["folders"][repo]) == wanted for repo, wanted in manifest["sha256"].items()
        )
    except (DataError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        logger.warning("demo: %s is damaged and is made again", folder)
    return sound
