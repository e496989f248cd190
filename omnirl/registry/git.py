"""Git as a program, by plumbing only: blobs, trees, commits and tags, never an index or a branch.

Neither hooks nor a file-system monitor run, no `GIT_*` variable of the caller counts, nothing is
signed and nothing asks a question, whatever the user's configuration says. This module knows Git
objects and nothing of models.
"""

import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from omnirl.errors import RegistryError
from omnirl.io import processes

OPTIONS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fsync": "all",  # Git's own default made no fsync at all for a commit or a tag
    "core.quotePath": "true",  # names in any encoding pass through as ASCII escapes
    "core.filesRefLockTimeout": "5000",
    "core.packedRefsTimeout": "5000",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "i18n.commitEncoding": "UTF-8",
}
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",  # reading never refreshes the user's index
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
TIMEOUT_S = 120.0
OWN_IDENTITY = ("omnirl registry", "registry@omnirl.invalid")
"""Committer of versions where the user has configured none."""
_SAFE_TAG = re.compile(r"[A-Za-z0-9][\w./@#!-]*", re.ASCII)
_TAG_FIELDS = (
    *("refname:strip=2", "objectname", "objecttype", "*objectname", "*objecttype"),
    *("taggerdate:unix", "taggername", "contents:subject"),
)
_LOCK_TRIES = 2


class Tag(NamedTuple):
    """One tag of the repository; `who` and `subject` are empty for lightweight tags."""

    name: str
    commit: str
    time: int
    """Unix seconds at which it was made, 0 for lightweight tags."""
    who: str
    subject: str


class Git:
    """The repository whose work tree is `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, *arguments: str, input_text: str | None = None, env: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run one git command in the work tree and return its output, whatever its exit code.

        Raises:
            ProcessError: git is not installed, or did not end.
        """
        options = [part for key, value in OPTIONS.items() for part in ("-c", f"{key}={value}")]
        argv = ["git", *options, *arguments]
        environment = {**ENVIRONMENT, **(env or {})}
        return processes.run(
            argv, cwd=self.root, env=environment, input_text=input_text, timeout_s=TIMEOUT_S, check=False
        )

    def text(self, *arguments: str, input_text: str | None = None, env: Mapping[str, str] | None = None) -> str:
        """Standard output of a git command that must succeed.

        Raises:
            RegistryError: it failed; names the command and git's own last words.
        """
        done = self.run(*arguments, input_text=input_text, env=env)
        if done.returncode != 0:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
            raise RegistryError(f"{self.root}: git {arguments[0]} failed: {last}")
        return done.stdout

    def check_repository(self) -> None:
        """Make sure that `root` is the top of a work tree with at least one commit.

        Raises:
            RegistryError: it is not; says what to type.
        """
        if not self.root.is_dir():
            raise RegistryError(f"{self.root}: no such folder")
        done = self.run("rev-parse", "--show-prefix")
        if done.returncode != 0:
            if "dubious ownership" in done.stderr:
                raise RegistryError(
                    f"{self.root}: the repository belongs to another user; trust it with"
                    f" `git config --global --add safe.directory {self.root}`"
                )
            raise RegistryError(
                f"{self.root}: not a Git work tree, and the registry keeps versions as Git tags;"
                " run `git init` and commit once"
            )
        if prefix := done.stdout.strip():
            raise RegistryError(f"{self.root}: a sub-folder ({prefix}) of a Git repository; the registry needs its top")
        self.head()

    def head(self) -> str:
        """Hash of the commit that is checked out.

        Raises:
            RegistryError: the repository has no commit yet.
        """
        done = self.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if done.returncode != 0:
            raise RegistryError(f"{self.root}: the repository has no commit yet; the registry needs one to build on")
        return done.stdout.strip()

    @cached_property
    def identity(self) -> tuple[str, str]:
        """Name and address for commits and tags: the configured ones, else the registry's own."""
        values = [self.run("config", "--get", key).stdout.strip() for key in ("user.name", "user.email")]
        name, address = (re.sub(r"[<>\n\0]", "", value) for value in values)
        return (name, address) if name and address else OWN_IDENTITY

    def changed_files(self) -> list[str]:
        """Tracked files that differ from the commit that is checked out, sorted, as git quotes them."""
        lines = self.text("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all").splitlines()
        return sorted(line[3:] for line in lines)

    def blob(self, text: str) -> str:
        """Store `text` as it is (no filters) and return its hash."""
        return self.text("hash-object", "-w", "--stdin", input_text=text).strip()

    def tree(self, base: str | None, entries: Mapping[str, tuple[str, str] | None]) -> str:
        """Store the tree `base` with the top-level `entries` replaced, and return its hash.

        Args:
            base: a commit or tree to start from; None = empty.
            entries: name -> (`blob` or `tree`, hash), or None to leave that name out.
        """
        lines = self.text("ls-tree", base).splitlines() if base else []
        kept = [line for line in lines if line.partition("\t")[2] not in entries]
        modes = {"blob": "100644", "tree": "040000"}
        added = [f"{modes[e[0]]} {e[0]} {e[1]}\t{name}" for name, e in entries.items() if e is not None]
        return self.text("mktree", "--missing", input_text="".join(f"{line}\n" for line in kept + added)).strip()

    def commit(self, tree: str, parent: str, message: str) -> str:
        """Store a commit that no branch knows, and return its hash."""
        name, address = self.identity
        people = {f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")}
        people |= {f"GIT_{who}_EMAIL": address for who in ("AUTHOR", "COMMITTER")}
        return self.text("commit-tree", tree, "-p", parent, "-F", "-", input_text=message, env=people).strip()

    def tags(self, patterns: Sequence[str]) -> list[Tag]:
        """Tags that match one of `patterns` (globs; `*` does not match `/`) and point at a commit."""
        form = "%00".join(f"%({name})" for name in _TAG_FIELDS)
        out = self.text("for-each-ref", f"--format={form}", *(f"refs/tags/{pattern}" for pattern in patterns))
        found = []
        for line in out.split("\n"):
            if len(parts := line.split("\0")) != len(_TAG_FIELDS):
                continue  # a subject with a stray line break
            name, own, kind, target, target_kind, when, who, subject = parts
            if "commit" in (kind, target_kind):
                found.append(Tag(name, target or own, int(when or 0), who, subject))
        return found

    def create_tag(self, name: str, commit: str, message: str, *, not_before: int = 0) -> bool:
        """Make the annotated tag `name`; False when a tag of that name exists already.

        Of any number of processes that create one name, exactly one gets True.

        Args:
            name: tag name without `refs/tags/`.
            commit: what it points at.
            message: first line = subject.
            not_before: the tag's time in Unix seconds is at least this, whatever the clock says.

        Raises:
            RegistryError: an unsafe name, or git could not write it (disk full, stale lock).
        """
        if not _SAFE_TAG.fullmatch(name) or ".." in name:
            raise RegistryError(f"{name!r}: not a tag name the registry writes")
        person, address = self.identity
        when = max(int(time.time()), not_before)
        header = f"object {commit}\ntype commit\ntag {name}\ntagger {person} <{address}> {when} +0000\n\n"
        made = self.text("mktag", input_text=header + message.rstrip("\n") + "\n").strip()
        for _ in range(_LOCK_TRIES):
            done = self.run("update-ref", "--stdin", input_text=f"create refs/tags/{name} {made}\n")
            if done.returncode == 0:
                return True
            if self.run("show-ref", "--verify", "--quiet", f"refs/tags/{name}").returncode == 0:
                return False
            if "lock" not in done.stderr:
                break
        raise RegistryError(f"{self.root}: the tag {name} cannot be written: {' '.join(done.stderr.split())}")

    def read_texts(self, commits: Sequence[str], path: str) -> list[str | None]:
        """The text of `path` in each commit, None where a commit has no such file."""
        asked = [f"{commit}:{path}" for commit in commits]
        out = self.text("cat-file", "--batch", input_text="".join(f"{name}\n" for name in asked)).encode()
        texts: list[str | None] = []
        for _ in asked:
            header, _, out = out.partition(b"\n")
            words = header.split()
            if words[-1:] == [b"missing"]:
                texts.append(None)
                continue
            size = int(words[2]) if len(words) == 3 and words[1] == b"blob" else -1
            if size < 0 or out[size : size + 1] != b"\n":
                # a folder, not UTF-8, or other line ends than ours: the lengths do not add up any more
                return [self._read_text(name) for name in asked]
            texts.append(out[:size].decode(errors="replace"))
            out = out[size + 1 :]
        return texts

    def _read_text(self, name: str) -> str | None:
        done = self.run("cat-file", "blob", name)
        return done.stdout if done.returncode == 0 else None
