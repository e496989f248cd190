"""The stage: files of `evaluate` in, `reports/gate.json` out."""

from pathlib import Path

import pytest

from omnirl.config import parse_params
from omnirl.errors import DataError
from omnirl.gate import run
from omnirl.io import files
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord

SETS = {
    "rec": {"dataset": "rec_val", "role": "target", "limit": None},
    "ood": {"dataset": "rec_ood", "role": "guard", "limit": None},
}


@pytest.fixture(scope="module")
def params():
    data = files.read_yaml(Path(__file__).parents[3] / "params.yaml")
    data["evaluate"]["sets"] = SETS
    data["gate"] |= {"bootstrap_samples": 500, "margins": {"out_of_domain": 0.1}, "first_minimum": 0.5}
    return parse_params(data, where="test")


def record(name, number, correct, cluster=None):
    return EvalRecord(
        uid=f"{name}/{number}", set=name, task="rec", cluster=cluster or f"{name}-{number}", prompt="p",
        completion="[0, 0, 28, 28]", parsed="[0, 0, 28, 28]", box=(0, 0, 28, 28), status="ok", correct=correct,
        scores={"iou": float(correct), "acc50": float(correct), "acc75": float(correct), "format": 1.0}, tokens=5,
    )  # fmt: skip


def leave(root, right, *, n=100, prints=("a", "a"), labels=("warm-start", "challenger"), clusters=None):
    """Reports of `evaluate`; `right[who][set]` questions are answered correctly, the first ones."""
    for who in ("champion", "challenger"):
        for name in SETS:
            records = [
                record(name, i, i < right[who][name], clusters and clusters(name, i)).model_dump() for i in range(n)
            ]
            files.write_jsonl(root / layout.EVAL_RECORDS / who / f"{name}.jsonl", records)
    report = {
        "fingerprint": dict.fromkeys(SETS, prints[1]),
        "models": {
            who: {"label": label, "digest": who, "fingerprint": dict.fromkeys(SETS, mark)}
            for who, label, mark in zip(("champion", "challenger"), labels, prints, strict=True)
        },
        "sets": {name: {"n": n, "metric": "acc50", "role": item["role"]} for name, item in SETS.items()},
    }
    files.write_json(root / layout.EVAL_REPORT, report)


def both(rec, ood):
    return {"champion": {"rec": rec[0], "ood": ood[0]}, "challenger": {"rec": rec[1], "ood": ood[1]}}


@pytest.mark.parametrize(
    ("right", "verdict", "first"),
    [
        pytest.param(both((40, 80), (50, 52)), "promote", True, id="better, guard holds"),
        pytest.param(both((10, 40), (50, 52)), "promote", False, id="better, but below the first minimum"),
        pytest.param(both((40, 42), (50, 50)), "hold", False, id="hardly better"),
        pytest.param(both((80, 40), (50, 50)), "reject", False, id="worse"),
        pytest.param(both((40, 80), (50, 20)), "reject", True, id="the guard falls"),
        pytest.param(both((60, 60), (50, 50)), "hold", True, id="equal"),
    ],
)
def test_the_verdict_follows_the_records(tmp_path, params, right, verdict, first):
    leave(tmp_path, right)
    report = run.run(params, tmp_path)
    assert (report["verdict"], report["first_minimum_met"]) == (verdict, first)
    assert files.read_json(tmp_path / layout.GATE_REPORT) == report


def test_the_report_names_models_numbers_and_questions(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 48)))
    report = run.run(params, tmp_path)
    rec = report["sets"]["rec"]
    assert (rec["n"], rec["champion"], rec["challenger"], rec["gained"], rec["lost"]) == (100, 0.4, 0.8, 40, 0)
    assert (rec["role"], rec["metric"], rec["test"]) == ("target", "acc50", "mcnemar_exact")
    assert rec["p"] == pytest.approx(2 * 0.5**40)
    assert rec["gained_uids"] == [f"rec/{i}" for i in range(40, 80)]
    assert report["sets"]["ood"]["lost_uids"] == ["ood/48", "ood/49"]
    assert report["champion"] == {"label": "warm-start", "digest": "champion"}


def test_at_most_fifty_questions_are_named(tmp_path, params):
    leave(tmp_path, both((0, 80), (50, 50)))
    assert len(run.run(params, tmp_path)["sets"]["rec"]["gained_uids"]) == 50


def test_different_fingerprints_are_refused(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)), prints=("a", "b"))
    report = run.run(params, tmp_path)
    assert (report["verdict"], report["sets"], report["first_minimum_met"]) == ("refuse", {}, False)
    assert "not evaluated in the same way" in report["reasons"][0]


def test_a_missing_set_is_refused_not_skipped(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)))
    (tmp_path / layout.EVAL_RECORDS / "champion/ood.jsonl").unlink()
    report = run.run(params, tmp_path)
    assert report["verdict"] == "refuse"
    assert "ood" in report["reasons"][0]


def test_other_questions_are_refused(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)))
    path = tmp_path / layout.EVAL_RECORDS / "champion/rec.jsonl"
    files.write_jsonl(path, [record("other", i, True).model_dump() for i in range(100)])
    assert run.run(params, tmp_path)["verdict"] == "refuse"


def test_a_question_that_stands_twice_is_refused(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)))
    path = tmp_path / layout.EVAL_RECORDS / "champion/rec.jsonl"
    files.write_jsonl(path, [record("rec", 1, True).model_dump()] * 100)
    assert "more than once" in run.run(params, tmp_path)["reasons"][0]


def test_questions_about_one_image_are_not_counted_as_independent(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)), clusters=lambda name, i: f"{name}-{i // 50}")
    rec = run.run(params, tmp_path)["sets"]["rec"]
    assert rec["test"] == "sign_flip_by_cluster"
    assert rec["p"] > 0.05


def test_the_same_inputs_give_the_same_bytes(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 48)))
    run.run(params, tmp_path)
    first = (tmp_path / layout.GATE_REPORT).read_bytes()
    run.run(params, tmp_path)
    assert (tmp_path / layout.GATE_REPORT).read_bytes() == first


def test_a_damaged_report_is_an_error(tmp_path, params):
    files.write_json(tmp_path / layout.EVAL_REPORT, {"sets": {}})
    with pytest.raises(DataError, match="run it again"):
        run.run(params, tmp_path)


def test_damaged_records_are_an_error(tmp_path, params):
    leave(tmp_path, both((40, 80), (50, 50)))
    files.write_jsonl(tmp_path / layout.EVAL_RECORDS / "champion/rec.jsonl", [{"uid": "x"}])
    with pytest.raises(DataError, match=r"rec\.jsonl"):
        run.run(params, tmp_path)
