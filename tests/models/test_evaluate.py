"""The stage `evaluate` with real, tiny models: records, reports, resume, and answers that batches do not change."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny_vl

from omnirl.errors import DataError, OmniRLError
from omnirl.evaluate import generate, run
from omnirl.evaluate.fingerprint import fingerprint
from omnirl.geometry.iou import iou
from omnirl.io import files
from omnirl.io import rows as row_files
from omnirl.models import loading
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord
from omnirl.schema.reports import Champion

SETS = {
    "rec_in_domain": {"dataset": "rec_val", "role": "target", "limit": 5},
    "multi_image": {"dataset": "pairs_val", "role": "target", "limit": None},
    "generative": {"dataset": "text_val", "role": "guard", "limit": None},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    for kind in ("rec", "pairs", "text"):
        rows = tiny_vl.make_rows(root, f"{kind}_val", kind, "eval", 6)
        hashed = [
            row.model_copy(
                update={"image_sha256": tuple(files.sha256_file(root / layout.RAW / name) for name in row.images)}
            )
            for row in rows
        ]
        row_files.write_rows(root / layout.VALID / f"{kind}_val.parquet", hashed)
    for seed, folder in enumerate((layout.MODEL_SFT, layout.MODEL_GRPO)):
        loading.save_model(*tiny_vl.build("demo-tiny", seed=seed), root / folder)
    return root


def params(**changes):
    return tiny_vl.params(evaluate={"sets": SETS, "batch_size": 4, "max_new_tokens": 8, **changes})


@pytest.fixture(scope="module")
def report(workspace):
    return run.run(params(), workspace)


def records(root, who, name):
    lines = files.read_jsonl(root / layout.EVAL_RECORDS / who / f"{name}.jsonl")
    return [EvalRecord.model_validate(line) for line in lines]


def test_every_question_leaves_one_record_in_order(workspace, report):
    for who in ("champion", "challenger"):
        assert [r.uid for r in records(workspace, who, "multi_image")] == [f"pairs_val/{k}" for k in range(6)]
        assert len(records(workspace, who, "rec_in_domain")) == report["sets"]["rec_in_domain"]["n"] == 5


def test_reports_hold_what_the_next_stages_read(workspace, report):
    assert report == files.read_json(workspace / layout.EVAL_REPORT)
    assert report["models"]["champion"]["label"] == "warm-start"
    assert report["models"]["champion"]["digest"] == loading.digest(workspace / layout.MODEL_SFT)
    assert report["models"]["champion"]["fingerprint"] == report["fingerprint"]
    for name, metric in (("rec_in_domain", "acc50"), ("multi_image", "acc50"), ("generative", "unified50")):
        item = report["sets"][name]
        assert (item["metric"], item["role"]) == (metric, SETS[name]["role"])
        right = [r.correct for r in records(workspace, "challenger", name)]
        assert item["challenger"][metric] == pytest.approx(sum(right) / len(right))
    metrics = files.read_json(workspace / layout.EVAL_METRICS)
    assert set(metrics["challenger"]) == set(SETS)


def test_scores_belong_to_the_boxes_in_original_pixels(workspace, report):
    rows = {r.uid: r for r in row_files.read_rows(workspace / layout.VALID / "rec_val.parquet")}
    for record in records(workspace, "challenger", "rec_in_domain"):
        expected = 0.0 if record.box is None else iou(record.box, rows[record.uid].bbox)
        assert record.scores["iou"] == pytest.approx(expected)
        assert (record.box is None) == (record.status != "ok")


def test_no_pixel_token_is_ever_written(workspace, report):
    words = tiny_vl.tokenizer()
    answerer = generate.Answerer(workspace / layout.MODEL_GRPO, params(), workspace)
    banned = answerer._banned()
    assert set(banned) == set(words.convert_tokens_to_ids(list(answerer.family.placeholders)))


def test_batches_and_padding_do_not_change_the_answers(workspace, report):
    rows = [r for kind in ("rec", "pairs", "text") for r in run.load_set(params(), workspace, _set(kind))]
    answers = {}
    for size in (1, 3, 17):
        answerer = generate.Answerer(workspace / layout.MODEL_GRPO, params(batch_size=size), workspace)
        answers[size] = [a for batch in answerer.answer(rows) for a in batch]
    assert answers[1] == answers[3] == answers[17]
    assert len({a.completion for a in answers[1]}) > 1, "the tiny model answers differently to different questions"


def _set(kind):
    return {"rec": "rec_in_domain", "pairs": "multi_image", "text": "generative"}[kind]


def test_a_second_evaluation_asks_nothing_and_leaves_the_same_bytes(workspace, report, monkeypatch):
    before = files.sha256_tree(workspace / "reports")
    monkeypatch.setattr(generate.Answerer, "_batch", lambda *_: pytest.fail("a question was asked twice"))
    run.run(params(), workspace)
    assert files.sha256_tree(workspace / "reports") == before


def test_an_interrupted_evaluation_goes_on_where_it_stopped(workspace, report):
    kept = sorted((workspace / run.SCRATCH).glob("*.jsonl"))
    assert len(kept) == 2 * len(SETS)
    before = files.sha256_tree(workspace / "reports")
    first, *rest = kept[0].read_bytes().splitlines(keepends=True)
    kept[0].write_bytes(first + b"".join(rest)[:10])  # killed in the middle of a line
    run.run(params(), workspace)
    assert files.sha256_tree(workspace / "reports") == before
    assert kept[0].read_bytes() == first + b"".join(rest)


def test_a_registered_champion_takes_the_place_of_the_warm_start(workspace, report):
    folder = workspace / layout.MODEL_GRPO
    champion = Champion("tiny-vl@v0.0.1", folder, loading.digest(folder))
    found = run.run(params(), workspace, champion=champion)
    assert found["models"]["champion"]["label"] == "tiny-vl@v0.0.1"
    assert found["sets"]["generative"]["champion"] == found["sets"]["generative"]["challenger"]
    run.run(params(), workspace)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"evaluate": {"sets": SETS, "max_new_tokens": 9}}, id="decoding"),
        pytest.param({"evaluate": {"sets": SETS, "iou_threshold": 0.6}}, id="threshold"),
        pytest.param({"model": {"prompt_template": "Q: {question}", "family": "demo-tiny"}}, id="prompt"),
        pytest.param({"model": {"family": "qwen2.5-vl"}}, id="codec"),
        pytest.param({"model": {"max_pixels": 3000, "family": "demo-tiny"}}, id="pixels"),
    ],
)
def test_the_fingerprint_changes_with_everything_that_changes_answers(workspace, change):
    rows = row_files.read_rows(workspace / layout.VALID / "rec_val.parquet")
    same = tiny_vl.params(evaluate={"sets": SETS})
    assert fingerprint(rows, same, {}) == fingerprint(rows, same, {})
    assert fingerprint(rows, tiny_vl.params(**change), {}) != fingerprint(rows, same, {})
    assert fingerprint(rows[:-1], same, {}) != fingerprint(rows, same, {})
    assert fingerprint(rows, same, {"chat_template": "other"}) != fingerprint(rows, same, {})
    other = [rows[0].model_copy(update={"image_sha256": ("0" * 64,)}), *rows[1:]]
    assert fingerprint(other, same, {}) != fingerprint(rows, same, {})


def test_rows_without_image_hash_are_an_error(workspace):
    rows = row_files.read_rows(workspace / layout.VALID / "rec_val.parquet")
    with pytest.raises(OmniRLError, match="run validate"):
        fingerprint([rows[0].model_copy(update={"image_sha256": ()})], params(), {})


def test_an_empty_or_missing_set_is_named(workspace, tmp_path):
    row_files.write_rows(tmp_path / layout.VALID / "rec_val.parquet", [])
    with pytest.raises(DataError, match="rec_in_domain"):
        run.load_set(params(), tmp_path, "rec_in_domain")
    with pytest.raises(DataError, match="pairs_val"):
        run.load_set(params(), tmp_path, "multi_image")
