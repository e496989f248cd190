"""reports/summary.json keeps its contract; the text, the README table and the command line follow from it."""

import json
import re

import pytest
import tree
import typer
from typer.testing import CliRunner

from omnirl.cli import summary as command
from omnirl.errors import DataError
from omnirl.io import files
from omnirl.report import message, summary
from omnirl.report.inputs import read_evidence
from omnirl.schema import layout

pytestmark = pytest.mark.usefixtures("quick")
KEYS = ["run_id", "preset", "stages", "evaluation", "verdict", "reasons", "version", "champion", "quarantined", "page"]


def written(root, verdict="promote", champion="tiny-vl@v0.0.2"):
    params = tree.build(root, verdict=verdict)
    summary.write(params, root, champion=champion, run_id=tree.RUN_ID)
    return json.loads((root / layout.SUMMARY).read_text())


@pytest.mark.parametrize("verdict", ["promote", "hold", "reject", "refuse"])
def test_the_summary_has_the_promised_keys_and_types(tmp_path, verdict):
    found = written(tmp_path, verdict)
    assert list(found) == KEYS
    assert found["verdict"] == verdict
    assert found["reasons"] == [f"the reason for {verdict}"]
    assert list(found["stages"]) == list(summary.STAGES)
    assert {"rec_in_domain", "rec_out_of_domain", "multi_image", "generative"} <= found["evaluation"].keys()
    for entry in found["evaluation"].values():
        assert list(entry) == ["n", "metric", "champion", "challenger", "gained", "lost", "p", "ci95"]
        assert 0 <= entry["champion"] <= 1
        assert 0 <= entry["challenger"] <= 1
    assert found["quarantined"] == 3
    assert found["page"] == "reports/page.html"
    assert found["version"] == (None if verdict == "refuse" else "tiny-vl@v0.0.2")


def test_stages_that_ran_have_their_seconds_and_cached_ones_none(tmp_path):
    stages = written(tmp_path)["stages"]
    assert stages["train"] == {"status": "ran", "seconds": 41.5}
    assert stages["fetch"] == {"status": "cached", "seconds": 0.0}


def test_the_numbers_are_the_gates(tmp_path):
    entry = written(tmp_path)["evaluation"]["rec_in_domain"]
    assert entry == {
        "n": 4, "metric": "acc50", "champion": 0.25, "challenger": 0.75, "gained": 3, "lost": 1,
        "p": 3e-42, "ci95": [0.41, 0.58],
    }  # fmt: skip


def test_without_title_the_champion_is_null(tmp_path):
    assert written(tmp_path, "hold", champion=None)["champion"] is None


def test_the_stage_list_is_the_command_lines(tmp_path):
    from omnirl.cli.stages import STAGE_FUNCTIONS

    assert list(summary.STAGES) == list(STAGE_FUNCTIONS)


def test_the_text_says_verdict_table_version_page_and_next_steps(tmp_path):
    found = written(tmp_path)
    text = message.as_text(tree.params(), tmp_path, found)
    line = r"rec_in_domain +4 +25\.0.% +75\.0.% +3 +1 +3e-42"
    assert re.search(line, text)
    for expected in (
        "Verdict: PROMOTE", "3 of 10 stages ran", "tiny-vl@v0.0.2", "reports/page.html", "make ui", "dvc repro",
        "omnirl registry rollback tiny-vl", "omnirl preset use rec-qwen2.5-vl-3b",
    ):  # fmt: skip
        assert expected in text


def test_a_run_in_which_nothing_ran_says_so(tmp_path):
    params = tree.build(tmp_path)
    found = summary.write(params, tmp_path, champion=None, run_id="second", stages={})
    assert "every stage was cached" in message.as_text(params, tmp_path, found)


def test_many_reasons_are_cut_in_the_text_and_whole_in_the_file(tmp_path):
    found = written(tmp_path) | {"reasons": [f"reason {i}" for i in range(9)]}
    text = message.as_text(tree.params(), tmp_path, found)
    assert "reason 5" in text
    assert "reason 6" not in text
    assert "and 3 more on the page" in text


def test_the_readme_table_is_markdown_from_the_reports(tmp_path):
    text = message.markdown_table(read_evidence(tree.build(tmp_path), tmp_path))
    row = "| rec_in_domain | decides | 4 | 25.0\u202f% | 75.0\u202f% | +50.0 (+41.0 … +58.0) | 3 / 1 | 3e-42 |"
    assert row in text.splitlines()


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The command line in a checkout whose registry says who holds the title."""
    params = tree.build(tmp_path)
    (tmp_path / "params.yaml").write_text((tree.CHECKOUT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNIRL_RUN_ID", raising=False)
    monkeypatch.setattr(command, "champion_of", lambda *_: f"{params.register_.name}@v0.0.2")
    app = typer.Typer()
    command.add_to(app)
    app.command("other")(lambda: None)
    return app


def test_the_command_prints_the_newest_run_as_json(app, tmp_path):
    result = CliRunner().invoke(app, ["summary", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == files.read_json(tmp_path / layout.SUMMARY)
    assert json.loads(result.stdout)["run_id"] == tree.RUN_ID


def test_an_unknown_run_is_one_sentence(app):
    with pytest.raises(DataError, match=r"runs/\.\./x: no such run"):
        CliRunner().invoke(app, ["summary", "--run-id", "../x"], catch_exceptions=False)


def test_the_report_stage_counts_as_ran_when_it_writes_the_summary_itself(app, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIRL_RUN_ID", tree.RUN_ID)
    found = command.write_after_report(tree.params(), tmp_path, seconds=1.5)
    assert found["stages"]["report"] == {"status": "ran", "seconds": 1.5}
    assert (tmp_path / layout.RUNS / tree.RUN_ID / "page.html").is_file()
