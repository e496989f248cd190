"""Checkpoints are used whole or not at all."""

import json
import shutil

import pytest

from omnirl.io.files import read_json
from omnirl.train import checkpoints


def make(scratch, step, text="weights"):
    work = scratch / "work" / f"checkpoint-{step}"
    work.mkdir(parents=True)
    (work / "model.safetensors").write_text(text)
    (work / "deep").mkdir()
    (work / "deep" / "state.json").write_text("{}")
    return checkpoints.publish(work, scratch, step)


def test_published_checkpoint_is_complete_and_listed_in_its_manifest(tmp_path):
    folder = make(tmp_path, 20)
    assert checkpoints.newest_complete(tmp_path) == folder
    assert checkpoints.find_problem(folder) is None
    # sha256 of "{}", from coreutils
    assert read_json(folder / "MANIFEST.json")["files"]["deep/state.json"] == {
        "size": 2,
        "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    }
    assert not (tmp_path / "work" / "checkpoint-20").exists()


def test_two_newest_are_kept_by_number_not_by_name_or_time(tmp_path):
    for step in (999999, 8, 1000000, 9):
        make(tmp_path, step)
    assert [p.name for p in checkpoints.published(tmp_path)] == ["step-1000000", "step-999999"]


def flip(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[0] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))


DAMAGE = {
    "a flipped bit": flip,
    "a shorter file": lambda folder: (folder / "model.safetensors").write_text("weight"),
    "a missing file": lambda folder: (folder / "model.safetensors").unlink(),
    "a foreign file": lambda folder: (folder / "rng_state.pth").write_text("x"),
    "no manifest": lambda folder: (folder / "MANIFEST.json").unlink(),
    "half a manifest": lambda folder: (folder / "MANIFEST.json").write_text('{"step": 2, "files": {'),
    "a manifest of another form": lambda folder: (folder / "MANIFEST.json").write_text(json.dumps({"files": [1]})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_checkpoint_is_skipped_and_named_in_the_log(tmp_path, caplog, damage):
    older = make(tmp_path, 1)
    damage(make(tmp_path, 2))
    assert checkpoints.newest_complete(tmp_path) == older
    assert "step-000002 is not used" in caplog.text


def test_nothing_to_resume_from(tmp_path):
    assert checkpoints.newest_complete(tmp_path / "never") is None


def test_a_step_is_published_again_over_its_damaged_older_self(tmp_path):
    flip(make(tmp_path, 2))
    assert checkpoints.newest_complete(tmp_path) is None
    make(tmp_path, 2)
    assert checkpoints.newest_complete(tmp_path) == tmp_path / "step-000002"


def test_sweep_removes_what_a_killed_writer_left(tmp_path):
    kept = make(tmp_path, 1)
    (tmp_path / "work" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / ".step-000002.0123456789abcdef0123456789abcdef.tmp").mkdir()
    checkpoints.sweep(tmp_path, tmp_path / "work")
    assert [p.name for p in tmp_path.iterdir()] == [kept.name]


@pytest.fixture
def recipe(tmp_path):
    rows = tmp_path / "rec.parquet"
    rows.write_bytes(b"rows")
    return {"stage": "train", "sections": {"train": {"steps": 1}}, "data": [rows], "base_digest": "aa"}


def test_fingerprint_is_of_content_not_of_place(recipe, tmp_path):
    before = checkpoints.fingerprint(**recipe)
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    shutil.copy(recipe["data"][0], elsewhere)
    assert checkpoints.fingerprint(**recipe | {"data": [elsewhere / "rec.parquet"]}) == before


@pytest.mark.parametrize(
    "change",
    [{"stage": "sft"}, {"sections": {"train": {"steps": 2}}}, {"base_digest": "ab"}],
    ids=["stage", "parameters", "base model"],
)
def test_fingerprint_changes_with_each_ingredient(recipe, change):
    assert checkpoints.fingerprint(**recipe | change) != checkpoints.fingerprint(**recipe)


def test_fingerprint_changes_with_the_rows(recipe):
    before = checkpoints.fingerprint(**recipe)
    recipe["data"][0].write_bytes(b"other rows")
    assert checkpoints.fingerprint(**recipe) != before
