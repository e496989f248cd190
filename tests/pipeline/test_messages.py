"""What a run says: the stage's own sentence, the signal that killed it, no tracebacks, safe Markdown."""

import logging

import pytest

from flows.__main__ import StageLines, is_ours
from tasks._artifacts import verdict_markdown
from tasks._stage import StageCrash, StageError, _failure, _is_noise

REPRO = "ERROR: failed to reproduce 'sft': failed to run: PATH=.venv/bin:$PATH omnirl sft, exited with {}"


@pytest.mark.parametrize(
    ("lines", "kind", "message"),
    [
        (
            ["Running stage 'sft':", "reading", "omnirl: models/base: no config.json; fetch again", REPRO.format(2)],
            StageError,
            "the stage sft stopped: models/base: no config.json; fetch again",
        ),
        (
            ["Running stage 'sft':", "step 3", REPRO.format(-9)],
            StageCrash,
            "the stage sft crashed (SIGKILL; out of memory?): step 3",
        ),
        (["Running stage 'sft':", REPRO.format(137)], StageCrash, "the stage sft crashed (SIGKILL; out of memory?): it left no message"),
        (["ValueError: x", REPRO.format(1)], StageCrash, "the stage sft crashed (exit code 1): ValueError: x"),
        (
            ["ERROR: Unable to acquire lock. Most likely another DVC process is running"],
            StageError,
            "the stage sft could not be run: Unable to acquire lock. Most likely another DVC process is running",
        ),
        ([], StageCrash, "the stage sft crashed (exit code 255): it left no message"),
    ],
)  # fmt: skip
def test_failure_carries_the_stages_own_last_sentence(lines, kind, message):
    error = _failure("the stage sft", 255, lines)
    assert type(error) is kind
    assert str(error) == message


@pytest.mark.parametrize("line", ["", "  ", "Updating lock file 'dvc.lock'", "\tgit add dvc.lock", "> omnirl sft"])
def test_lines_about_dvc_itself_are_left_out(line):
    assert _is_noise(line)


@pytest.mark.parametrize("line", ["Stage 'sft' didn't change, skipping", "sft: 3/30 (10 %)", "omnirl: x", "ERROR: y"])
def test_lines_about_the_stage_are_kept(line):
    assert not _is_noise(line)


def record(name: str, path: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, level, path, 1, "done", (), None)
    made.__dict__.update(extra)
    return made


def test_console_line_says_which_stage_of_how_many():
    line = StageLines().format(record("prefect.task_runs", "/x/tasks/_stage.py", task_run_name="validate"))
    assert line[8:] == " [ 3/10] validate  done"


def test_console_shows_stages_and_foreign_warnings_but_no_engine_chatter():
    assert is_ours(record("prefect.task_runs", "/x/tasks/_stage.py"))
    assert is_ours(record("somewhere", "/x/site-packages/y.py", logging.WARNING))
    assert not is_ours(record("prefect.task_runs", "/x/prefect/task_engine.py", logging.ERROR))
    assert not is_ours(record("prefect.flow_runs", "/x/prefect/flow_engine.py"))


def test_verdict_on_the_run_page_cannot_carry_markup():
    sets = {"a|b": {"role": "target", "n": 3, "champion": 0.25, "challenger": 1, "gained": 2, "lost": 0, "p": 0.5}}
    text = verdict_markdown({"verdict": "hold", "reasons": ["<script>x</script> `y` | z"], "sets": sets})
    assert "- (script)x(/script) 'y' / z" in text
    assert "| a/b | target | 3 | 0.250 | 1.000 | 2 | 0 | 0.5 |" in text
    assert "<" not in text
