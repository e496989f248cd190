"""Bring the pinned files of `params.yaml: fetch` here: data sets to `data/raw`, the base model to `models/base`.

Every file is checked against a sha256 (from the parameters, the demo's manifest, or the Hub's list of
the pinned revision; for files that Git itself holds, against their Git object id) before it takes its
name. Downloads live in `.omnirl/downloads/<kind>s--<owner>--<name>/<revision>/`, which no tool deletes
before a run: an interrupted one goes on there, a finished one is not fetched again, and files put there
by hand count. What the files hold is not known here.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omnirl.config import Params
from omnirl.data.hub import Hub, Kind, RemoteFile, UnreachableError
from omnirl.errors import DataError, FetchError
from omnirl.io import download, files
from omnirl.io.archives import resolve_below
from omnirl.io.locks import folder_lock
from omnirl.schema import layout

logger = logging.getLogger(__name__)

DOWNLOADS = f"{layout.STATE}/downloads"
_REFUSED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".py", ".pyc", ".so")
"""Pickled weights and code: never fetched with a model."""
_UNUSED = (".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".tflite", ".gitattributes", ".gitignore")
"""Other forms of the same weights, and files of the repository itself."""
_NAMED = 5
"""So many missing files are named in one message."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One wanted file."""

    kind: Kind
    repo: str
    revision: str
    path: str
    sha256: str | None
    """Expected digest, as far as it is known before the Hub is asked."""
    store: Path
    """Where the finished download is kept."""
    target: Path
    size: int | None = None
    """Bytes, and `oid` the Git object id, as the Hub lists them; None before it is asked."""
    oid: str | None = None

    @property
    def where(self) -> str:
        return f"{self.repo}/{self.path} at revision {self.revision}"

    @property
    def part(self) -> Path:
        """The unfinished download; its name holds the digest, so another file never goes on in it."""
        return self.store.with_name(f"{self.store.name}.{self.sha256 or self.oid}.part")

    def problem(self, path: Path) -> str | None:
        """Why the content of `path` is not the wanted one; None when it is."""
        if not path.is_file():
            return "no such file"
        if self.size is not None and path.stat().st_size != self.size:
            return f"expected {self.size} bytes, found {path.stat().st_size}"
        sha256, oid = download.digests(path)
        if self.sha256 is not None:
            return None if sha256 == self.sha256 else f"expected sha256 {self.sha256}, found {sha256}"
        return None if oid == self.oid else f"expected Git object {self.oid}, found {oid}"


class _Fetcher:
    """One run: the Hub, the folders and the manifest."""

    def __init__(self, hub: Hub, root: Path, manifest: dict | None) -> None:
        self.hub, self.root, self.manifest = hub, root, manifest
        self.downloads = root / DOWNLOADS
        self.received = 0
        self._lists: dict[Path, list[RemoteFile]] = {}

    def item(self, kind: Kind, repo: str, revision: str, path: str, sha256: str | None, folder: Path) -> _Item:
        store = self._folder(kind, repo, revision)
        return _Item(kind, repo, revision, path, sha256, _below(store, path, repo), _below(folder, path, repo))

    def _folder(self, kind: Kind, repo: str, revision: str) -> Path:
        return _below(self.downloads, f"{kind}s--{repo.replace('/', '--')}/{revision}", repo)

    def listing(self, kind: Kind, repo: str, revision: str) -> list[RemoteFile]:
        """Files of the revision; a commit never changes, so its list is kept (but for the demo's own Hub)."""
        folder = self._folder(kind, repo, revision)
        if folder not in self._lists:
            self._lists[folder] = self._listing(kind, repo, revision, folder.with_name(f"{folder.name}.json"))
        return self._lists[folder]

    def _listing(self, kind: Kind, repo: str, revision: str, kept: Path) -> list[RemoteFile]:
        if self.manifest is None and kept.is_file():
            try:
                return [RemoteFile(**item) for item in files.read_json(kept)]
            except (DataError, TypeError) as error:
                logger.warning("%s: not used, asking the Hub again (%s)", kept, error)
        found = self.hub.list_files(kind, repo, revision)
        files.write_json(kept, [asdict(file) for file in found])
        return found

    def locate(self, items: Iterable[_Item]) -> list[_Item]:
        """The same items, knowing what the Hub says about them.

        Raises:
            FetchError: a file is not in the revision, or the Hub and the parameters name different digests.
        """
        return [self._located(item) for item in items]

    def _located(self, item: _Item) -> _Item:
        found = {file.path: file for file in self.listing(item.kind, item.repo, item.revision)}
        remote = found.get(item.path)
        if remote is None:
            near = ", ".join(sorted(found)[:_NAMED]) or "nothing"
            raise FetchError(f"{item.where}: no such file (moved or renamed?); the revision holds {near}")
        if item.sha256 and remote.sha256 and item.sha256 != remote.sha256:
            raise FetchError(
                f"{item.where}: wrong checksum, expected sha256 {item.sha256} and the Hub lists {remote.sha256}; "
                "check revision and sha256 in params.yaml"
            )
        return replace(item, sha256=item.sha256 or remote.sha256, size=remote.size, oid=remote.oid)

    def bring(self, items: Sequence[_Item]) -> None:
        """Leave every located item, complete and checked, at its `store`."""
        missing = [item for item in items if item.problem(item.store)]
        rest = [max(0, (item.size or 0) - download.size_of(item.part)) for item in missing]
        download.require_space(self.downloads, sum(rest))
        for number, (item, size) in enumerate(zip(missing, rest, strict=True), 1):
            logger.info("fetch %d of %d: %s", number, len(missing), item.where)
            self._bring_one(item)
            self.received += size

    def _bring_one(self, item: _Item) -> None:
        remote = RemoteFile(item.path, item.size or 0, item.sha256, item.oid or "")
        self.hub.fetch(item.kind, item.repo, item.revision, remote, item.part)
        if problem := item.problem(item.part):
            download.remove(item.part)
            raise FetchError(
                f"{item.where}: wrong checksum, {problem}; the download was deleted: run it again, and if it happens "
                f"again {self.hub.endpoint} does not hold the pinned file"
            )
        download.finish(item.part, item.store)

    def fetch_datasets(self, params: Params) -> list[_Item]:
        """`data/raw/<to>/<file>` for every wanted file."""
        items = [
            self.item(
                "dataset",
                repo.repo,
                self.revision(repo.repo, repo.revision),
                file.path,
                self.digest(repo.repo, file.path, file.sha256),
                self.root / layout.RAW / repo.to,
            )
            for repo in params.fetch.datasets
            for file in repo.files
        ]
        open_items = [item for item in items if not _in_place(item)]
        try:
            open_items = self.locate(open_items)
            self.bring(open_items)
        except UnreachableError as error:
            raise FetchError(f"{error}; {self._by_hand(open_items)}") from None
        for item in open_items:
            download.place(item.store, item.target)
        return items

    def fetch_model(self, params: Params) -> list[_Item]:
        """`models/base`: every file of the revision but pickles and code, as one folder."""
        repo, base = params.fetch.model.repo, self.root / layout.MODEL_BASE
        revision = self.revision(repo, params.fetch.model.revision)
        try:
            names = _wanted_of_model(self.listing("model", repo, revision), f"{repo} at revision {revision}")
            items = [self.item("model", repo, revision, name, self.digest(repo, name, None), base) for name in names]
            items = self.locate(items)
            if _folder_in_place(base, items):
                return items
            self.bring(items)
        except UnreachableError as error:
            folder = self._folder("model", repo, revision)
            raise FetchError(
                f"{error}; without network, run `omnirl fetch` where there is one and copy its {DOWNLOADS}/"
                f"{folder.parent.name} to {folder.parent}"
            ) from None
        with files.atomic_folder(base) as folder:
            for item in items:
                download.place(item.store, _below(folder, item.path, repo))
        return items

    def forget_other_revisions(self, items: Iterable[_Item]) -> None:
        """Delete downloads of other revisions of the same repositories (the demo's Hub makes new ones often)."""
        used = {self._folder(item.kind, item.repo, item.revision) for item in items}
        for folder in {path.parent for path in used}:
            for path in folder.iterdir():
                if folder / path.name.removesuffix(".json") not in used:
                    download.remove(path)

    def revision(self, repo: str, given: str) -> str:
        """The commit to fetch; `demo` is looked up in the manifest."""
        return given if given != "demo" else self._from_manifest("revisions", repo)

    def digest(self, repo: str, path: str, given: str | None) -> str | None:
        """The expected sha256; `demo` must be in the manifest, None may be."""
        if given == "demo":
            return self._from_manifest("sha256", repo, path)
        return given or ((self.manifest or {}).get("sha256", {}).get(repo) or {}).get(path)

    def _from_manifest(self, *keys: str) -> str:
        value: Any = self.manifest
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise FetchError(
                f"params.yaml says `demo` for {keys[-1]}, which only the manifest of the demo's own Hub could explain; "
                "set fetch.endpoint to demo, or name a commit and a sha256"
            )
        return value

    def _by_hand(self, items: Sequence[_Item]) -> str:
        missing = [item for item in items if item.problem(item.store)]
        named = ", ".join(str(item.store) for item in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return f"without network, put the missing files there by hand (they are checked like any other): {named}{more}"


def run(
    params: Params,
    root: Path,
    *,
    endpoint: str | None = None,
    manifest: dict | None = None,
    backoff_s: float = 1.0,
) -> dict:
    """Fetch what is missing and return `{"files", "bytes", "received_bytes", "model_files"}`.

    Args:
        params: the whole of `params.yaml`.
        root: checkout to work in.
        endpoint: address of the Hub; None = `fetch.endpoint`.
        manifest: what `demo` stands for, `{"revisions": {repo: commit}, "sha256": {repo: {file: digest}}}`.
        backoff_s: wait before the second try of a request; doubles with each further one.

    Raises:
        FetchError: unreachable, missing, gated, wrong checksum, no space; says what to do. What has arrived
            stays, and the next run goes on from there.
    """
    address = endpoint or params.fetch.endpoint
    if address == "demo":
        raise FetchError("fetch.endpoint is demo, whose Hub runs only inside `omnirl fetch`; use that command")
    hub = Hub(
        address,
        timeout_s=params.fetch.timeout_s,
        retries=params.fetch.retries,
        backoff_s=backoff_s,
        send_token=manifest is None,
    )
    with folder_lock(root / DOWNLOADS, purpose="a download"), hub:
        fetcher = _Fetcher(hub, root, manifest)
        data = fetcher.fetch_datasets(params)
        model = fetcher.fetch_model(params)
        if manifest is not None:
            fetcher.forget_other_revisions((*data, *model))
    logger.info("fetch: %d files in place, %.1f MB received", len(data) + len(model), fetcher.received / 1e6)
    return {
        "files": len(data),
        "model_files": len(model),
        "bytes": sum(item.target.stat().st_size for item in (*data, *model)),
        "received_bytes": fetcher.received,
    }


def _in_place(item: _Item) -> bool:
    """Whether the target is the wanted file; a finished (or hand-put) download is linked there first."""
    if item.sha256 is None:
        return False
    if item.problem(item.target) is None:
        return True
    if item.problem(item.store) is None:
        download.place(item.store, item.target)
        return True
    return False


def _folder_in_place(folder: Path, items: Sequence[_Item]) -> bool:
    there = {path for path in folder.rglob("*") if path.is_file()}
    return there == {item.target for item in items} and not any(item.problem(item.target) for item in items)


def _wanted_of_model(listing: Sequence[RemoteFile], where: str) -> list[str]:
    """Names to fetch; pickled weights and code are left out, and refused when nothing else is there."""
    names = [file.path for file in listing]
    refused = [name for name in names if name.lower().endswith(_REFUSED)]
    if not any(name.endswith(".safetensors") for name in names):
        raise FetchError(
            f"{where}: no .safetensors weights ({', '.join(refused[:_NAMED]) or 'no weights at all'}); pickled weights "
            "can run code and are not loaded, choose a revision with safetensors"
        )
    for name in refused:
        logger.warning("%s: %s is left out (pickled weights and code are never fetched)", where, name)
    return [name for name in names if not name.lower().endswith(_REFUSED + _UNUSED)]


def _below(folder: Path, relative: str, repo: str) -> Path:
    try:
        return resolve_below(folder, relative)
    except DataError as error:
        raise FetchError(f"{repo}: refused, {error}") from None
