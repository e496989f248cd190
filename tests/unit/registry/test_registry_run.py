"""The stage `register`: what is recorded, who gets the title, and the same output for the same model."""

import json

import pytest

from omnirl.errors import DataError, RegistryError
from omnirl.registry import run as stage
from omnirl.registry.store import Registry


def register(checkout):
    report = stage.run(checkout.params, checkout.root)
    written = json.loads((checkout.root / "reports/registration.json").read_text())
    assert written == report
    return report, json.loads((checkout.root / "runs/run-1/registration.json").read_text())


def champion_of(checkout):
    champion = Registry(checkout.root).champion("tiny-vl")
    return (champion.label, champion.record.digest) if champion else None


def test_first_run_records_warm_start_without_title_then_candidate_with_title(checkout):
    report, title = register(checkout)
    assert (report["name"], report["version"], report["verdict"]) == ("tiny-vl", "v0.0.2", "promote")
    assert title["title"] == "moved"
    assert title["champion"] == "tiny-vl@v0.0.2"
    first, second = Registry(checkout.root).versions("tiny-vl")
    assert (first.record.path, first.record.verdict, first.record.compared_with) == ("models/sft", None, None)
    assert (second.record.path, second.record.compared_with.label) == ("models/grpo", "warm-start")
    assert second.record.digest == report["digest"]
    assert [e.version for e in Registry(checkout.root).history("tiny-vl")] == ["v0.0.2"]


@pytest.mark.parametrize("verdict", ["hold", "reject"])
def test_hold_and_reject_are_recorded_but_get_no_title(checkout, verdict):
    checkout.judge(verdict)
    report, title = register(checkout)
    assert (report["version"], report["verdict"]) == ("v0.0.2", verdict)
    assert (title["title"], title["champion"]) == ("none", None)


def test_refuse_records_nothing(checkout):
    checkout.judge("refuse")
    report, title = register(checkout)
    assert (report["version"], report["verdict"], title["title"]) == (None, "refuse", "none")
    assert checkout.git("tag") == ""


def test_first_title_needs_the_absolute_bar(checkout):
    checkout.judge("promote", first_minimum_met=False)
    report, title = register(checkout)
    assert (report["version"], title["title"], title["champion"]) == ("v0.0.2", "none", None)
    assert "first_minimum" in title["message"]


def test_known_digest_gives_the_same_bytes_and_no_new_tag(checkout):
    register(checkout)
    before = (checkout.root / "reports/registration.json").read_bytes(), checkout.git("show-ref", "--tags")
    (checkout.root / "reports/registration.json").unlink()
    _, title = register(checkout)
    assert before == ((checkout.root / "reports/registration.json").read_bytes(), checkout.git("show-ref", "--tags"))
    assert title["title"] == "kept"


def test_known_digest_keeps_its_recorded_verdict_whatever_the_gate_says_now(checkout):
    register(checkout)
    first = (checkout.root / "reports/registration.json").read_bytes()
    for verdict in ("hold", "refuse"):
        checkout.judge(verdict)
        register(checkout)
        assert (checkout.root / "reports/registration.json").read_bytes() == first


def test_warm_start_comparison_never_dethrones_a_champion(checkout):
    register(checkout)
    checkout.candidate("stronger")
    report, title = register(checkout)
    assert (report["version"], title["title"], title["champion"]) == ("v0.0.3", "kept", "tiny-vl@v0.0.2")
    assert "omnirl registry pin && dvc repro" in title["message"]


def test_title_moves_when_the_gate_compared_with_the_champion(checkout):
    register(checkout)
    holder = champion_of(checkout)
    checkout.champion_is("tiny-vl@v0.0.2")
    checkout.candidate("stronger", champion=holder)
    report, title = register(checkout)
    assert (report["version"], title["title"], title["champion"]) == ("v0.0.3", "moved", "tiny-vl@v0.0.3")


def test_recorded_then_pinned_then_compared_again_moves_the_title_of_the_known_version(checkout):
    register(checkout)
    holder = champion_of(checkout)
    checkout.candidate("stronger")
    first, _ = register(checkout)
    checkout.champion_is("tiny-vl@v0.0.2")
    checkout.judge("promote", holder)
    second, title = register(checkout)
    assert second == first
    assert (title["title"], title["champion"]) == ("moved", "tiny-vl@v0.0.3")


def test_title_stays_when_the_champion_changed_since_the_comparison(checkout):
    register(checkout)
    holder = champion_of(checkout)
    Registry(checkout.root).promote("tiny-vl@v0.0.1", why="meanwhile")
    checkout.champion_is("tiny-vl@v0.0.2")
    checkout.candidate("stronger", champion=holder)
    report, title = register(checkout)
    assert (report["version"], title["title"], title["champion"]) == ("v0.0.3", "kept", "tiny-vl@v0.0.1")


def test_a_title_that_was_taken_back_does_not_return_by_itself(checkout):
    register(checkout)
    holder = champion_of(checkout)
    checkout.champion_is("tiny-vl@v0.0.2")
    checkout.candidate("stronger", champion=holder)
    register(checkout)
    Registry(checkout.root).rollback("tiny-vl", why="worse in production")
    _, title = register(checkout)
    assert (title["title"], title["champion"]) == ("kept", "tiny-vl@v0.0.2")
    assert "omnirl registry promote tiny-vl@v0.0.3" in title["message"]


def test_killed_between_tag_and_output_goes_on_where_it_stopped(checkout, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_arguments, **_options):
        raise Killed

    monkeypatch.setattr(Registry, "promote", killed)  # the tags of both versions stand, nothing else
    with pytest.raises(Killed):
        stage.run(checkout.params, checkout.root)
    monkeypatch.undo()
    monkeypatch.setenv("OMNIRL_RUN_ID", "run-1")
    assert not (checkout.root / "reports/registration.json").exists()
    report, title = register(checkout)
    assert (report["version"], title["title"]) == ("v0.0.2", "moved")
    assert len(Registry(checkout.root).versions("tiny-vl")) == 2


def test_another_model_than_the_evaluated_one_is_refused(checkout):
    checkout.model("grpo", "swapped after evaluation")
    checkout.lock()
    with pytest.raises(RegistryError, match=r"models/grpo: not the model of reports/eval\.json"):
        stage.run(checkout.params, checkout.root)
    assert checkout.git("tag") == ""


def test_another_gate_report_than_the_evaluation_is_refused(checkout):
    path = checkout.root / "reports/gate.json"
    path.write_text(path.read_text().replace('"warm-start", "digest": "', '"warm-start", "digest": "0'))
    with pytest.raises(RegistryError, match=r"reports/gate\.json"):
        stage.run(checkout.params, checkout.root)


def test_a_model_that_dvc_lock_does_not_record_is_refused(checkout):
    checkout.model("grpo", "made by hand")
    checkout.judge("promote")
    with pytest.raises(RegistryError, match="not the model that dvc.lock records"):
        stage.run(checkout.params, checkout.root)


def test_without_dvc_lock_it_is_recorded_without_title_and_again_once_dvc_has_it(checkout):
    (checkout.root / "dvc.lock").unlink()
    report, title = register(checkout)
    assert (report["version"], title["title"]) == ("v0.0.2", "none")
    assert "dvc repro" in title["message"]
    checkout.lock()
    report, title = register(checkout)
    assert (report["version"], title["title"], title["champion"]) == ("v0.0.3", "moved", "tiny-vl@v0.0.3")


@pytest.mark.parametrize("name", ["eval", "gate", "metrics"])
def test_missing_report_is_one_clear_sentence(checkout, name):
    (checkout.root / f"reports/{name}.json").unlink()
    with pytest.raises(DataError, match=f"reports/{name}.json: no such file"):
        stage.run(checkout.params, checkout.root)
    assert checkout.git("tag") == ""


def test_gate_report_without_verdict_says_what_is_missing(checkout):
    (checkout.root / "reports/gate.json").write_text("{}")
    with pytest.raises(DataError, match="'verdict'"):
        stage.run(checkout.params, checkout.root)


def test_outputs_hold_no_run_id_and_no_time(checkout):
    register(checkout)
    text = (checkout.root / "reports/registration.json").read_text()
    assert json.loads(text).keys() == {"name", "version", "digest", "verdict"}
    for file in ("omnirl-version.json", "model-card.md", "dvc.yaml", "evidence/gate.json"):
        content = checkout.git("show", f"tiny-vl@v0.0.2:{file}")
        assert "run-1" not in content
        assert str(checkout.root) not in content
    assert "omnirl-run: run-1" in checkout.git("log", "-1", "--format=%B", "tiny-vl@v0.0.2")
