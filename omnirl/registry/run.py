"""The stage `register`: record the candidate as a version, move the title when the verdict allows it.

The output is a function of the model's digest: a known digest gives the recorded version, digest and
verdict again, byte for byte. What became of the title is a matter of the moment and stands in
`runs/<run id>/registration.json`. Knows the gate's report, not the gate.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omnirl.config import Params
from omnirl.errors import ConflictError, DataError, RegistryError
from omnirl.io import files, runlog
from omnirl.registry import contents
from omnirl.registry.contents import Candidate
from omnirl.registry.records import Reference, Version, check_name
from omnirl.registry.store import Registry, find_digest
from omnirl.schema import layout
from omnirl.schema.reports import EXIT_CODES, Verdict

logger = logging.getLogger(__name__)

WARM_START = "warm-start"


class Title(NamedTuple):
    """What became of the title in this run."""

    title: Literal["moved", "kept", "none"]
    """`moved` to this candidate; `kept` by whoever holds it; `none`: nobody holds it."""
    champion: str | None
    """`NAME@vX.Y.Z` of the holder after this run."""
    message: str


@dataclass(frozen=True)
class Judged:
    """What evaluation and gate say, checked against the models that lie in the checkout."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    first_minimum_met: bool
    champion: Reference
    """The model that the gate compared with."""
    digest: str
    """Of the candidate."""
    configured: str
    """`evaluate.champion`."""


def run(params: Params, root: Path) -> dict[str, Any]:
    """Register `models/grpo` and write `reports/registration.json`.

    Raises:
        DataError: a report is missing or has another form.
        RegistryError: not a Git repository with a commit, or models, reports and `dvc.lock` do not belong together.
    """
    judged = read_judged(params, root)
    registry = Registry(root)
    known = find_digest(registry.versions(judged.name), judged.digest)
    if judged.verdict == "refuse" and known is None:
        version, verdict = None, "refuse"
        title = _untouched(registry, judged, "nothing was recorded: the two models cannot be compared")
    else:
        recorded = _record(params, root, registry, judged)
        version, verdict = recorded.version, _verdict(recorded) or judged.verdict
        title = _decide(registry, judged, recorded)
    report = {"name": judged.name, "version": version, "digest": judged.digest, "verdict": verdict}
    files.write_json(root / layout.REGISTRATION, report)
    files.write_json(runlog.run_folder(root) / "registration.json", title._asdict())
    logger.info("register: %s: %s", f"{judged.name}@{version}" if version else judged.name, title.message)
    return report


def read_judged(params: Params, root: Path) -> Judged:
    """Read the reports and make sure that they speak of the models in the checkout.

    Raises:
        DataError: a report is missing or has another form.
        RegistryError: a digest differs.
    """
    evaluated = files.read_json(root / layout.EVAL_REPORT)
    gate = files.read_json(root / layout.GATE_REPORT)
    try:
        challenger, champion = evaluated["models"]["challenger"]["digest"], evaluated["models"]["champion"]["digest"]
        judged = Judged(
            name=check_name(params.register_.name),
            verdict=gate["verdict"],
            reasons=tuple(str(reason) for reason in gate["reasons"]),
            first_minimum_met=gate["first_minimum_met"] is True,
            champion=Reference(label=gate["champion"]["label"], digest=gate["champion"]["digest"]),
            digest=_digest(root / layout.MODEL_GRPO),
            configured=params.evaluate.champion,
        )
        of_gate = gate["challenger"]["digest"]
    except (KeyError, TypeError) as error:
        where = f"{layout.EVAL_REPORT} or {layout.GATE_REPORT}"
        raise DataError(f"{where}: misses {error}; run `omnirl evaluate` and `omnirl gate` again") from None
    if judged.verdict not in EXIT_CODES:
        raise DataError(f"{layout.GATE_REPORT}: unknown verdict {judged.verdict!r}")
    if judged.digest != challenger:
        raise RegistryError(f"{layout.MODEL_GRPO}: not the model of {layout.EVAL_REPORT}; run `dvc repro gate` first")
    if (of_gate, judged.champion.digest) != (challenger, champion):
        raise RegistryError(f"{layout.GATE_REPORT}: not the models of {layout.EVAL_REPORT}; run `dvc repro gate` first")
    return judged


def _digest(folder: Path) -> str:
    if not folder.is_dir():
        raise RegistryError(f"{folder}: no such model; run `dvc repro train` first")
    return files.sha256_tree(folder)


def _record(params: Params, root: Path, registry: Registry, judged: Judged) -> Version:
    """Record the candidate; before the first one, the warm start it was compared with."""
    run_id, reports = runlog.run_id(), contents.read_reports(root)
    if judged.configured == WARM_START and not registry.versions(judged.name):
        digest = _digest(root / layout.MODEL_SFT)
        if digest != judged.champion.digest:
            raise RegistryError(
                f"{layout.MODEL_SFT}: not the model of {layout.EVAL_REPORT}; run `dvc repro gate` first"
            )
        registry.register(
            Candidate(
                name=judged.name,
                digest=digest,
                path=layout.MODEL_SFT,
                verdict=None,
                compared_with=None,
                preset=params.preset,
                dvc=contents.dvc_hash(root, layout.MODEL_SFT),
                run=run_id,
                reports=reports,
            )
        )
    stored = contents.dvc_hash(root, layout.MODEL_GRPO)
    if stored is None:
        logger.warning(
            "register: dvc.lock does not hold models/grpo, so nobody can fetch this version; use `dvc repro`"
        )
    return registry.register(
        Candidate(
            name=judged.name,
            digest=judged.digest,
            path=layout.MODEL_GRPO,
            verdict=judged.verdict if judged.verdict != "refuse" else None,
            compared_with=judged.champion,
            preset=params.preset,
            dvc=stored,
            run=run_id,
            reports=reports,
        )
    )


def _decide(registry: Registry, judged: Judged, version: Version) -> Title:
    """Move the title to `version` if everything allows it; else say in one sentence why not and what to type."""
    champion, event = registry.champion_event(judged.name)
    if champion is not None and champion.commit == version.commit:
        return Title("kept", champion.label, f"{version.label} holds the title")
    if obstacle := _obstacle(registry, judged, version, champion):
        return _outcome(champion, obstacle)
    why = f"gate, against {judged.champion.label}: {'; '.join(judged.reasons)}"
    try:
        registry.promote(version.label, why=why, expected=event, run=runlog.run_id())
    except ConflictError:
        return _untouched(registry, judged, f"the title moved meanwhile; {_again(version)}")
    former = f", which {champion.label} held" if champion else ""
    return Title("moved", version.label, f"{version.label} takes the title{former}")


def _obstacle(registry: Registry, judged: Judged, version: Version, champion: Version | None) -> str | None:
    """Why the title stays where it is; None when it may move."""
    if judged.verdict != "promote":
        return f"recorded, the verdict is {judged.verdict}"
    if version.record is None or version.record.dvc is None:
        return "recorded, but DVC does not have the model, so it cannot hold the title; run `dvc repro`"
    if any(e.version == version.version for e in registry.history(judged.name)):
        return f"{version.label} held the title before; `omnirl registry promote {version.label}` gives it back by hand"
    if champion is None:
        return _first_obstacle(judged, version)
    if champion.record is None or champion.record.digest != judged.champion.digest:
        return f"recorded, but the title is held by {champion.label}, not by {judged.champion.label}; {_again(version)}"
    return None


def _first_obstacle(judged: Judged, version: Version) -> str | None:
    """Why a title that nobody holds is not given."""
    if judged.configured != WARM_START:
        return f"recorded, nobody holds the title; `omnirl registry promote {version.label}` gives it"
    if not judged.first_minimum_met:
        return "recorded, but a first title needs gate.first_minimum on every target set"
    return None


def _again(version: Version) -> str:
    return f"to compare {version.label} with the holder, run: omnirl registry pin && dvc repro"


def _untouched(registry: Registry, judged: Judged, message: str) -> Title:
    return _outcome(registry.champion(judged.name), message)


def _outcome(champion: Version | None, message: str) -> Title:
    return Title("kept", champion.label, message) if champion else Title("none", None, message)


def _verdict(version: Version) -> str | None:
    return version.record.verdict if version.record else None
