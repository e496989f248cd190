"""Which questions are shown, and what is said about each: an unpicked sample, gained, lost, quarantined.

The sample is drawn by the hash of the question's id, so nobody chose it and it is the same every
time. Takes `Evidence`; knows nothing of HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omnirl.io.files import sha256_bytes
from omnirl.report.inputs import SIDES, Evidence
from omnirl.report.pictures import Picture, load, of_question
from omnirl.report.words import set_name
from omnirl.schema.record import EvalRecord

IMAGE_PLACE = "<image>"
"""Where a picture stands in a question; the page shows the pictures themselves."""
LONGEST_TEXT = 500
"""Characters of a question or an answer that are shown."""
STATUS = {
    "ok": "",
    "no_answer": "no answer block",
    "unparsable": "answer could not be read",
    "not_applicable": "not applicable",
}


@dataclass(frozen=True)
class Answer:
    """What one model said to one question."""

    who: str
    correct: bool
    text: str
    completion: str
    score: str
    """`IoU 0.93`, `text score 0.71`, or empty."""
    problem: str
    """Why nothing could be read; empty when something was."""


@dataclass(frozen=True)
class Question:
    """One question with its pictures, the right answer and both models' answers."""

    uid: str
    set: str
    problem: str
    truth: str
    answers: tuple[Answer, ...]
    pictures: tuple[Picture, ...]


def sample(evidence: Evidence) -> list[Question]:
    """`report.examples` questions over all sets, drawn by hash: not chosen for their result."""
    pools = {name: list(both[0]) for name, both in evidence.answers.items()}
    return _questions(evidence, pools)


def gained(evidence: Evidence) -> list[Question]:
    """Up to `report.examples` questions that the challenger won, over all sets in turn."""
    return _questions(evidence, _changed(evidence, "gained_uids", (False, True)))


def lost(evidence: Evidence) -> list[Question]:
    """Up to `report.examples` questions that the challenger lost, over all sets in turn."""
    return _questions(evidence, _changed(evidence, "lost_uids", (True, False)))


def _changed(evidence: Evidence, key: str, pattern: tuple[bool, bool]) -> dict[str, list[str]]:
    """Set -> uids as the gate lists them, else those whose right / wrong follows `pattern`."""
    pools = {}
    judged = evidence.gate.get("sets") or {}
    for name, (champion, challenger) in evidence.answers.items():
        if name not in judged:
            continue  # not compared, so nothing was gained or lost
        listed = judged[name].get(key)
        shared = [uid for uid in champion if uid in challenger]
        found = [u for u in shared if (champion[u].correct, challenger[u].correct) == pattern]
        pools[name] = found if listed is None else listed
    return pools


def _questions(evidence: Evidence, pools: dict[str, list[str]]) -> list[Question]:
    """Questions of `pools` in turn, one of each set, until `report.examples` are found or none is left."""
    queues = {
        name: sorted(set(uids), key=lambda u: sha256_bytes(u.encode("utf-8", "replace")))
        for name, uids in pools.items()
    }
    shown: list[Question] = []
    while any(queues.values()) and len(shown) < evidence.params.report.examples:
        for name, queue in queues.items():
            question = _question(evidence, name, queue.pop(0)) if queue else None
            if question and len(shown) < evidence.params.report.examples:
                shown.append(question)
    return shown


def _question(evidence: Evidence, name: str, uid: str) -> Question | None:
    """One question; None when a record or the row is missing."""
    champion, challenger = (answers.get(uid) for answers in evidence.answers[name])
    row = evidence.rows.get(uid)
    if champion is None or challenger is None or row is None:
        return None
    answers = tuple(_answer(who, record) for who, record in zip(SIDES, (champion, challenger), strict=True))
    pictures = tuple(of_question(evidence.root, row, champion, challenger))
    return Question(
        uid, set_name(name), clip(row.problem.replace(IMAGE_PLACE, "").strip()), clip(row.answer), answers, pictures
    )


def _answer(who: str, record: EvalRecord) -> Answer:
    scores = {"iou": "IoU", "unified": "text score"}
    said = next((f"{label} {record.scores[key]:.2f}" for key, label in scores.items() if key in record.scores), "")
    text = clip(record.parsed) if record.parsed is not None else ""
    return Answer(who, record.correct, text, clip(record.completion), said, STATUS[record.status])


def clip(text: str) -> str:
    """At most `LONGEST_TEXT` characters, with a note of how many were left out."""
    left = len(text) - LONGEST_TEXT
    return text if left <= 0 else f"{text[:LONGEST_TEXT]} … ({left} more characters)"


@dataclass(frozen=True)
class Rejected:
    """One quarantined row: where it stood, why it cannot be used, its picture when there is one."""

    source: str
    line: str
    reason: str
    problem: str
    picture: Picture | None


def quarantined(evidence: Evidence, reasons: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """For each (code, rows) of `reasons`: `{"code", "count", "example"}`, the example a `Rejected` or None."""
    first: dict[str, dict[str, Any]] = {}
    for entry in evidence.quarantine:
        first.setdefault(str(entry.get("code")), entry)
    return [
        {"code": code, "count": count, "example": _rejected(evidence, first[code]) if code in first else None}
        for code, count in reasons
    ]


def _rejected(evidence: Evidence, entry: dict[str, Any]) -> Rejected:
    row = entry.get("row")
    images = row.get("images") if isinstance(row, dict) else None
    first = images[0] if isinstance(images, list | tuple) and images else None
    picture = load(evidence.root, first, "Picture of a row set aside") if isinstance(first, str) else None
    problem = row.get("problem") if isinstance(row, dict) else None
    line = entry.get("line")
    return Rejected(
        source=str(entry.get("source") or ""),
        line="" if line is None else str(line),
        reason=clip(str(entry.get("reason") or "")),
        problem=clip(problem) if isinstance(problem, str) else "",
        picture=picture if picture and picture.uri else None,
    )
