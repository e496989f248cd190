"""The stage `redteam`: attack the weighted sum of `rewards` on real training rows, or stop the pipeline.

Reads `data/valid`, writes `reports/redteam.json`. Answers are taken to be in original pixels: no
model is needed to find out whether a reward can be cheated.
"""

import difflib
import logging
from pathlib import Path
from random import Random
from typing import Any

from omnirl.config import Params
from omnirl.errors import ConfigError, DataError, RedTeamError
from omnirl.io import files, runlog
from omnirl.io.progress import Progress
from omnirl.io.rows import read_rows
from omnirl.redteam import judge
from omnirl.redteam.attacks import ATTACKS, honest
from omnirl.rewards import Mix, build
from omnirl.schema import layout
from omnirl.schema.row import Row

logger = logging.getLogger(__name__)


def run(params: Params, root: Path) -> dict[str, Any]:
    """Attack, judge, report; the report is returned and written to `reports/redteam.json`.

    A failed attack report goes to `runs/<run id>/redteam.json` only, so that no later stage starts.

    Raises:
        ConfigError: unknown attack, or unknown reward in `rewards.parts` or `redteam.accept`.
        DataError: a training dataset is missing or has no valid row.
        RedTeamError: an attack beats the honest answer by more than `redteam.margin`.
    """
    mix = build(params.rewards)
    _check_names(params, mix)
    rows = _sample(params, root)
    tried = _attack(rows, params, mix)
    report, finding = _judge(tried, params, len(rows))
    files.write_json(runlog.run_folder(root) / "redteam.json", report)
    for reason in report["reasons"]:
        logger.info("redteam: %s", reason)
    if finding is not None:
        raise RedTeamError(
            f"redteam: {judge.say(finding)}; training would teach the attack, so change rewards.parts (weights), "
            f"or name the reward in redteam.accept to use it on purpose; all numbers are in "
            f"{layout.RUNS}/{runlog.run_id()}/redteam.json"
        )
    files.write_json(root / layout.REDTEAM_REPORT, report)
    return report


def _check_names(params: Params, mix: Mix) -> None:
    for key, given, known in (
        ("redteam.attacks", params.redteam.attacks, list(ATTACKS)),
        ("redteam.accept", [name.partition("@")[0] for name in params.redteam.accept], list(mix.known)),
    ):
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                raise ConfigError(f"{key}: there is no {name!r}; {hint}")


def _sample(params: Params, root: Path) -> list[Row]:
    """At most `rows_per_dataset` rows of each training dataset, in file order, always the same ones."""
    chosen: list[Row] = []
    for name in params.train.datasets:
        path = root / layout.VALID / f"{name}.parquet"
        rows = read_rows(path)
        if not rows:
            raise DataError(f"{path}: holds no valid row, so its reward cannot be attacked; see {layout.QUARANTINE}")
        count = min(params.redteam.rows_per_dataset, len(rows))
        picked = sorted(Random(f"{params.redteam.seed}/{name}").sample(range(len(rows)), count))
        chosen += [rows[i].seen_by("original_px", None) for i in picked]
    return chosen


def _attack(rows: list[Row], params: Params, mix: Mix) -> list[judge.Tried]:
    """Score the honest answer and every configured attack on each row."""
    progress = Progress("redteam", len(rows))
    tried = []
    for row in rows:
        completions = {judge.HONEST: honest(row)}
        for name in params.redteam.attacks:
            completions[name] = ATTACKS[name](row, Random(f"{params.redteam.seed}/{name}/{row.uid}"))
        titles = {part: mix.reward(part, row).title for part, _ in mix.parts}
        for name, completion in completions.items():
            mixed = mix.score(completion, row)
            values = {part: score.value for part, score in mixed.parts.items()}
            applied = {part: title for part, title in titles.items() if mixed.parts[part].status != "not_applicable"}
            tried.append(judge.Tried(row.uid, row.dataset, name, mixed.total, values, applied))
        progress.add()
    return tried


def _judge(tried: list[judge.Tried], params: Params, rows: int) -> tuple[dict[str, Any], judge.Finding | None]:
    """The report, and the worst finding that is not accepted."""
    margin, accept = params.redteam.margin, params.redteam.accept
    weights = {part.name: part.weight for part in params.rewards.parts}
    rewards = judge.by_reward(tried, accept)
    found = sorted(judge.findings(tried, weights, margin, accept), key=lambda f: f.honest - f.paid)
    stopping = [f for f in found if not f.accepted]
    reasons = [judge.say(f) + ("; accepted by redteam.accept" if f.accepted else "") for f in found]
    if not found:
        reasons.append(f"no attack is paid more than the honest answer by over {margin:g} on any dataset")
    datasets = {
        name: judge.summarise((t.attack, t.total) for t in tried if t.dataset == name)
        for name in dict.fromkeys(t.dataset for t in tried)
    }
    report = {
        "passed": not stopping,
        "margin": margin,
        "rows": rows,
        "rewards": rewards,
        "weighted_sum": judge.summarise((t.attack, t.total) for t in tried) | {"datasets": datasets},
        "reasons": reasons + judge.warnings(rewards, margin, tried, weights),
    }
    return report, stopping[0] if stopping else None
