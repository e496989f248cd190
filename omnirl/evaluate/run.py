"""Stage `evaluate`: champion and challenger answer the same questions; records, means, fingerprints.

Answers are kept below `.omnirl/scratch/evaluate/`, keyed by model digest and fingerprint, one line
per finished batch: an interrupted evaluation goes on where it stopped, and a model that was
already asked is not asked again. Scores are always computed anew. Decides nothing.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnirl.config import Params
from omnirl.errors import DataError
from omnirl.evaluate.fingerprint import fingerprint
from omnirl.evaluate.generate import Answerer
from omnirl.evaluate.score import TASKS, Answered, headline, score, summarise
from omnirl.io import files
from omnirl.io.progress import Progress
from omnirl.io.rows import read_rows
from omnirl.models import loading
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord
from omnirl.schema.reports import Champion
from omnirl.schema.row import Row, Size

logger = logging.getLogger(__name__)

SCRATCH = f"{layout.STATE}/scratch/evaluate"


def run(params: Params, root: Path, *, champion: Champion | None = None) -> dict[str, Any]:
    """Evaluate both models on every set of `evaluate.sets`.

    Args:
        params: all of `params.yaml`.
        root: the checkout; reads `data/valid`, `data/raw` and the model folders.
        champion: a registered model, or None for this run's warm start (`models/sft`).

    Returns:
        The content of `reports/eval.json`.

    Raises:
        DataError: a set is missing, empty, holds a uid twice, or has a task that cannot be evaluated.
        ModelError: a model folder is missing or cannot be loaded.
    """
    sets = {name: load_set(params, root, name) for name in params.evaluate.sets}
    if champion is None:
        champion = Champion("warm-start", root / layout.MODEL_SFT, loading.digest(root / layout.MODEL_SFT))
    challenger = Champion("challenger", root / layout.MODEL_GRPO, loading.digest(root / layout.MODEL_GRPO))
    records, prints = {}, {}
    for who, model in (("champion", champion), ("challenger", challenger)):
        records[who], prints[who] = evaluate_model(model, sets, params, root)
        for name, items in records[who].items():
            files.write_jsonl(root / layout.EVAL_RECORDS / who / f"{name}.jsonl", [r.model_dump() for r in items])
    report = _report(params, {"champion": champion, "challenger": challenger}, records, prints)
    files.write_json(root / layout.EVAL_REPORT, report)
    files.write_json(root / layout.EVAL_METRICS, _metrics(report))
    return report


def load_set(params: Params, root: Path, name: str) -> list[Row]:
    """Questions of the set `name`: the valid rows of its data set, the first `limit` of them.

    Raises:
        DataError: no rows, a uid that stands twice, or a task that cannot be evaluated.
    """
    wanted = params.evaluate.sets[name]
    path = root / layout.VALID / f"{wanted.dataset}.parquet"
    rows = read_rows(path)[: wanted.limit]
    if not rows:
        raise DataError(f"{path}: no valid rows, so evaluate.sets.{name} has no questions")
    seen: set[str] = set()
    for row in rows:
        if row.uid in seen:
            raise DataError(f"{path}: the uid {row.uid} stands twice; a question is asked once")
        if row.task not in TASKS or row.task != rows[0].task:
            raise DataError(f"{path}: {row.uid} has task {row.task}; a set is all of one task of {', '.join(TASKS)}")
        seen.add(row.uid)
    return rows


def evaluate_model(
    model: Champion, sets: dict[str, list[Row]], params: Params, root: Path
) -> tuple[dict[str, list[EvalRecord]], dict[str, str]]:
    """Records and fingerprint of one model on each set; asks only what was not asked before."""
    answerer = Answerer(model.folder, params, root)
    how = answerer.how()
    records, prints = {}, {}
    for name, rows in sets.items():
        prints[name] = fingerprint(rows, params, how)
        path = root / SCRATCH / f"{model.digest[:16]}-{prints[name][:16]}.jsonl"
        answers = _answers(answerer, rows, path, f"evaluate {model.label} on {name}")
        records[name] = [score(row, said, name, params) for row, said in zip(rows, answers, strict=True)]
        right = sum(r.correct for r in records[name])
        logger.info("%s on %s: %d of %d right (%.1f %%)", model.label, name, right, len(rows), 100 * right / len(rows))
    return records, prints


def _answers(answerer: Answerer, rows: Sequence[Row], path: Path, label: str) -> list[Answered]:
    answers = _kept(path, rows)
    if len(answers) == len(rows):
        logger.info("%s: %d answers kept from before", label, len(rows))
        return answers
    progress = Progress(label, len(rows))
    progress.add(len(answers), "kept from before" if answers else "")
    for batch in answerer.answer(rows[len(answers) :]):
        files.append_jsonl(path, batch)
        answers += batch
        progress.add(len(batch))
    return answers


def _kept(path: Path, rows: Sequence[Row]) -> list[Answered]:
    """Answers of earlier, perhaps interrupted runs; a torn last line is cut off, foreign ones start over."""
    if not path.is_file():
        return []
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    try:
        lines = [files.parse_json(line, where=str(path)) for line in whole.split(b"\n") if line]
        kept = [_answered(item) for line in lines for item in line]
    except (DataError, TypeError, ValueError):
        lines, kept = [], [Answered("", "", "", 0, ())]
    if torn:
        files.write_jsonl(path, lines)
    if [a.uid for a in kept] != [r.uid for r in rows[: len(kept)]]:
        path.unlink()
        return []
    return kept


def _answered(item: Sequence[Any]) -> Answered:
    uid, prompt, completion, tokens, sizes = item
    return Answered(uid, prompt, completion, tokens, tuple(Size(*size) for size in sizes))


def _report(
    params: Params,
    models: dict[str, Champion],
    records: dict[str, dict[str, list[EvalRecord]]],
    prints: dict[str, dict[str, str]],
) -> dict[str, Any]:
    sets = {
        name: {
            "n": len(records["challenger"][name]),
            "metric": headline(records["challenger"][name][0].task, params),
            "role": wanted.role,
            **{who: summarise(records[who][name], params) for who in models},
        }
        for name, wanted in params.evaluate.sets.items()
    }
    return {
        "fingerprint": prints["challenger"],
        "models": {
            who: {"label": model.label, "digest": model.digest, "fingerprint": prints[who]}
            for who, model in models.items()
        },
        "sets": sets,
    }


def _metrics(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {
        who: {name: item[who][item["metric"]] for name, item in report["sets"].items()}
        for who in ("challenger", "champion")
    }
