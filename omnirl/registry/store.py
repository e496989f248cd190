"""Versions and titles as Git tags; creating a tag that must not exist is the compare-and-swap.

Branches, index and work tree of the user are never touched: commits are made by plumbing. Whoever
loses a race for a version number takes the next one; whoever loses a race for the title is told.
Knows nothing of the gate: what may be promoted is decided by the caller.
"""

import logging
import random
import re
import time
from functools import cached_property
from pathlib import Path

from omnirl.errors import ConflictError, RegistryError
from omnirl.registry import contents
from omnirl.registry.contents import Candidate
from omnirl.registry.git import Git, Tag
from omnirl.registry.records import (
    EVIDENCE_FOLDER,
    NAME,
    RECORD_FILE,
    TITLE,
    VERSION,
    Event,
    Lineage,
    Record,
    Version,
    check_name,
    event_number,
    next_version,
    read_record,
    split_label,
    version_key,
)

logger = logging.getLogger(__name__)

MAX_TRIES = 500
"""How many other processes may take a version number before us until something must be wrong."""
_HELD = ("dvc.lock", "dvc.yaml", "params.yaml")


class Registry:
    """The registry of the repository whose work tree is `root`.

    Raises:
        RegistryError: `root` is not the top of a Git work tree with at least one commit.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.git.check_repository()
        self._records: dict[str, Record | None] = {}

    def names(self) -> list[str]:
        """Names that have at least one version, sorted."""
        label = re.compile(f"({NAME})@{VERSION}", re.ASCII)
        return sorted({match[1] for tag in self.git.tags(["*@v*"]) if (match := label.fullmatch(tag.name))})

    def versions(self, name: str) -> list[Version]:
        """All versions of `name`, oldest number first; empty when there is none."""
        check_name(name)
        label = re.compile(f"{re.escape(name)}@({VERSION})", re.ASCII)
        tags = [(match[1], tag) for tag in self.git.tags([f"{name}@v*"]) if (match := label.fullmatch(tag.name))]
        self._load([tag for _, tag in tags])
        found = [Version(name, v, tag.commit, tag.time, tag.who, self._records[tag.name]) for v, tag in tags]
        return sorted(found, key=lambda v: version_key(v.version))

    def version(self, label: str) -> Version:
        """The version `NAME@vX.Y.Z`.

        Raises:
            RegistryError: there is none; lists those there are.
        """
        name, number = split_label(label)
        versions = self.versions(name)
        for found in versions:
            if found.version == number:
                return found
        raise RegistryError(f"{label}: no such version; {self._known(name, versions)}")

    def history(self, name: str) -> list[Event]:
        """Every title event of `name`, oldest first.

        Raises:
            RegistryError: no version of that name; lists the names there are.
        """
        versions = self.versions(name)
        if not versions:
            raise RegistryError(f"{name}: no such model; {self._known(name, versions)}")
        return self._events(name, versions)

    def champion(self, name: str) -> Version | None:
        """The version that holds the title, None when none does.

        Raises:
            RegistryError: the last title event points at a commit that is no version of `name`.
        """
        return self.champion_event(name)[0]

    def champion_event(self, name: str) -> tuple[Version | None, int]:
        """The version that holds the title and the number of its event (0 = no event yet); raises as `champion`."""
        versions = self.versions(name)
        events = self._events(name, versions)
        if not events:
            return None, 0
        last = events[-1]
        if last.version is None:
            if last.kind == "unassign":
                return None, last.number
            raise RegistryError(
                f"{name}#{TITLE}#{last.number}: points at a commit that is no version of {name};"
                " promote a version to mend it"
            )
        return next(v for v in versions if v.version == last.version), last.number

    def register(self, candidate: Candidate) -> Version:
        """Record `candidate` and return its version; a digest that is recorded already returns that version.

        A version that DVC could not fetch is no obstacle to recording the same model again once it can.

        Raises:
            RegistryError: the commit or tag cannot be written.
        """
        for tries in range(MAX_TRIES):
            versions = self.versions(candidate.name)
            if known := find_digest(versions, candidate.digest, stored=candidate.dvc is not None):
                return known
            number = next_version([v.version for v in versions])
            record = candidate.record(number, self._lineage(candidate.preset))
            commit = self._commit(candidate, record)
            message = f"register {record.label}: {record.verdict or 'warm start'}\n\ndigest: {record.digest}\n"
            if self.git.create_tag(record.label, commit, message + _run_line(candidate.run)):
                return self.version(record.label)
            time.sleep(random.uniform(0, 0.02) * min(tries + 1, 10))
        raise RegistryError(f"{candidate.name}: {MAX_TRIES} version numbers were taken by others meanwhile; try again")

    def promote(
        self, label: str, *, why: str, expected: int | None = None, kind: str = "promote", run: str = ""
    ) -> Event:
        """Give the title to `label` and return the event; no new event when it holds the title already.

        Args:
            label: `NAME@vX.Y.Z`.
            why: one line for the history.
            expected: number of the title event the decision was based on (0 = there was none);
                None = the one that stands now.
            kind: first word of the event.
            run: run id, kept in the tag's message.

        Raises:
            ConflictError: the title moved meanwhile; nothing was changed.
            RegistryError: no such version, or DVC cannot fetch it.
        """
        version = self.version(label)
        if version.record is None or version.record.dvc is None:
            raise RegistryError(f"{label}: cannot hold the title, since DVC does not have its model; use `dvc repro`")
        events = self._events(version.name, self.versions(version.name))
        last = events[-1].number if events else 0
        if expected is not None and last != expected:
            raise ConflictError(f"{version.name}: the title moved meanwhile (event {last}); nothing was changed")
        if events and events[-1].version == version.version:
            return events[-1]
        why = " ".join(why.split())[:500] or "no reason given"
        number, not_before = last + 1, events[-1].time + 1 if events else 0
        message = f"{kind}: {why}\n\nversion: {label}\n" + _run_line(run)
        if not self.git.create_tag(f"{version.name}#{TITLE}#{number}", version.commit, message, not_before=not_before):
            raise ConflictError(f"{version.name}: somebody else moved the title first; nothing was changed")
        return next(e for e in self.history(version.name) if e.number == number)

    def rollback(self, name: str, *, to: str | None = None, why: str, expected: int | None = None) -> Event:
        """Give the title back to an earlier version, by a new event; raises as `promote`.

        Args:
            name: the model.
            to: `vX.Y.Z`; None = the version that held the title before the present one.
            why: one line for the history.
            expected: as for `promote`.
        """
        events = self.history(name)
        if to is None:
            present = events[-1].version if events else None
            to = next((e.version for e in reversed(events) if e.version not in (None, present)), None)
            if to is None:
                raise RegistryError(f"{name}: no earlier champion to go back to; name a version with --to")
            expected = events[-1].number if expected is None else expected
        return self.promote(f"{name}@{to}", why=why, expected=expected, kind="rollback")

    def _events(self, name: str, versions: list[Version]) -> list[Event]:
        by_commit = {v.commit: v.version for v in versions}
        events = []
        for tag in self.git.tags([f"{name}#{TITLE}#*", f"{name}#{TITLE}!#*"]):
            if (parsed := event_number(tag.name)) is None:
                continue
            number, taken_away = parsed
            kind, mark, why = tag.subject.partition(": ")
            if kind not in ("promote", "rollback") or not mark:
                kind, why = "unassign" if taken_away else "assign", tag.subject
            version = None if taken_away else by_commit.get(tag.commit)
            events.append(Event(name, number, version, tag.time, tag.who, kind, why))
        return sorted(events, key=lambda e: e.number)

    def _known(self, name: str, versions: list[Version]) -> str:
        if versions:
            return "known: " + ", ".join(v.version for v in versions)
        names = self.names()
        return f"known names: {', '.join(names)}" if names else "the registry is empty"

    def _load(self, tags: list[Tag]) -> None:
        """Read the records of `tags` that were not read before (their commits never change)."""
        new = [tag for tag in tags if tag.name not in self._records]
        if new:
            texts = self.git.read_texts([tag.commit for tag in new], RECORD_FILE)
            self._records |= {tag.name: read_record(text, tag.name) for tag, text in zip(new, texts, strict=True)}

    @cached_property
    def _uncommitted(self) -> tuple[str, ...]:
        return tuple(name for name in self.git.changed_files() if name not in _HELD)

    def _lineage(self, preset: str) -> Lineage:
        return Lineage(commit=self.git.head(), uncommitted=self._uncommitted, preset=preset)

    def _commit(self, candidate: Candidate, record: Record) -> str:
        """Store the commit of a version: the tree that is checked out, plus what `contents` gives."""
        parent = record.lineage.commit
        evidence = {name: ("blob", self.git.blob(text)) for name, text in candidate.reports.items()}
        entries: dict[str, tuple[str, str] | None] = {EVIDENCE_FOLDER: ("tree", self.git.tree(None, evidence))}
        for name, text in contents.top_level(self.root, candidate, record).items():
            entries[name] = None if text is None else ("blob", self.git.blob(text))
        verdict = record.verdict or "warm start"
        message = f"{record.label}: {verdict}\n\nomnirl-digest: {record.digest}\n" + _run_line(candidate.run)
        return self.git.commit(self.git.tree(parent, entries), parent, message)


def find_digest(versions: list[Version], digest: str, *, stored: bool = False) -> Version | None:
    """The first of `versions` that is the model `digest`; with `stored`, only one that DVC can fetch."""
    matching = [v for v in versions if v.record is not None and v.record.digest == digest]
    fetchable = [v for v in matching if v.record is not None and v.record.dvc is not None]
    return next(iter(fetchable if stored else fetchable or matching), None)


def _run_line(run: str) -> str:
    return f"omnirl-run: {run}\n" if run else ""
