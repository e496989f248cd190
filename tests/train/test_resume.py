"""Interrupted anywhere, the same command ends at the same bytes as an uninterrupted run."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_vl
from short_recipes import SHORT

from omnirl.errors import OmniRLError
from omnirl.io import files
from omnirl.io.locks import folder_lock
from omnirl.models import loading
from omnirl.train import callbacks, grpo, sft

RECIPES = {
    "plain": {},
    "accumulation": {"prompts_per_step": 1, "gradient_accumulation_steps": 3},
    "in the middle of a batch's passes": {"num_iterations": 2, "save_steps": 3},
    "across an epoch": {"prompts_per_step": 9},
    "averaged log lines": {"logging_steps": 3},
}


def outcome(root: Path) -> dict[str, str]:
    """Everything the stage `train` leaves, by content."""
    names = ("reports/train.json", "reports/train_curve.csv", "data/rollouts/train.parquet")
    return {"model": loading.digest(root / "models/grpo"), **{n: files.sha256_file(root / n) for n in names}}


def interrupt_at(monkeypatch, step):
    original = callbacks.Watch.on_step_begin

    def stop(self, args, state, control, **rest):
        if state.global_step == step:
            raise KeyboardInterrupt
        original(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.Watch, "on_step_begin", stop)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_interrupted_run_ends_at_the_bytes_of_an_uninterrupted_one(warm, copy_of, monkeypatch, recipe):
    family, source = warm
    params = tiny_vl.params(family, train=SHORT | {"steps": 5} | recipe)
    whole, cut = copy_of(source, "whole"), copy_of(source, "cut")
    grpo.run(params, whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            grpo.run(params, cut)
    assert not (cut / "models/grpo").exists()
    kept = list((cut / ".omnirl/scratch").glob("train-*/step-*"))
    assert kept, "no checkpoint to go on from"
    grpo.run(params, cut)
    assert outcome(cut) == outcome(whole)
    assert not list((cut / ".omnirl/scratch").glob("train-*"))


def test_rollouts_are_neither_lost_nor_doubled_by_a_resume(warm, copy_of, monkeypatch):
    from omnirl.io.rows import read_rollouts

    family, source = warm
    root = copy_of(source, "cut")
    params = tiny_vl.params(family, train=SHORT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            grpo.run(params, root)
    grpo.run(params, root)
    steps = [r.step for r in read_rollouts(root / "data/rollouts/train.parquet")]
    assert steps == [step for step in range(1, 5) for _ in range(12)]


def test_a_damaged_newest_checkpoint_costs_steps_not_the_result(warm, copy_of, monkeypatch, caplog):
    family, source = warm
    params = tiny_vl.params(family, train=SHORT | {"steps": 5, "save_steps": 1})
    whole, cut = copy_of(source, "whole"), copy_of(source, "cut")
    grpo.run(params, whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            grpo.run(params, cut)
    [newest] = (cut / ".omnirl/scratch").glob("train-*/step-000004")
    (newest / "optimizer.pt").unlink()  # the trainer by itself would go on with a fresh optimizer
    grpo.run(params, cut)
    assert "optimizer.pt is missing" in caplog.text
    assert outcome(cut) == outcome(whole)


def test_another_recipe_does_not_go_on_from_these_checkpoints(warm, copy_of, monkeypatch, caplog):
    family, source = warm
    root = copy_of(source, "cut")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            grpo.run(tiny_vl.params(family, train=SHORT), root)
    caplog.set_level("INFO")
    grpo.run(tiny_vl.params(family, train=SHORT | {"temperature": 0.9}), root)
    assert "going on from" not in caplog.text


def test_killed_between_the_last_step_and_the_saved_model_trains_no_step_twice(warm, copy_of, monkeypatch):
    family, source = warm
    params = tiny_vl.params(family, train=SHORT)
    whole, cut = copy_of(source, "whole"), copy_of(source, "cut")
    grpo.run(params, whole)
    with monkeypatch.context() as patch:
        patch.setattr(grpo, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            grpo.run(params, cut)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 0)  # no step may begin
        grpo.run(params, cut)
    assert outcome(cut) == outcome(whole)


def test_sft_goes_on_too(warm, copy_of, monkeypatch):
    family, source = warm
    params = tiny_vl.params(family, sft={"steps": 6, "save_steps": 2})  # 24 rows, 6 a step: a second epoch
    whole, cut = copy_of(source, "whole"), copy_of(source, "cut")
    first = sft.run(params, whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            sft.run(params, cut)
    assert sft.run(params, cut) == first
    assert loading.digest(cut / "models/sft") == loading.digest(whole / "models/sft") == first["model_digest"]
    assert files.sha256_file(cut / "reports/sft_curve.csv") == files.sha256_file(whole / "reports/sft_curve.csv")


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(warm, copy_of):
    family, source = warm
    params = tiny_vl.params(family, train=SHORT)
    root, whole = copy_of(source, "full"), copy_of(source, "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OmniRLError, match=r"checkpoint of step 2 cannot be written .* run the same command again"):
            grpo.run(params, root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (root / "models/grpo").exists()
    grpo.run(params, root)
    grpo.run(params, whole)
    assert outcome(root) == outcome(whole)


def test_a_model_that_does_not_fit_on_the_disk_leaves_the_older_one(warm, tmp_path):
    family, source = warm
    params = tiny_vl.params(family)
    model, processor = (
        load(source / "models/sft", params.model) for load in (loading.load_model, loading.load_processor)
    )
    loading.save_model(model, processor, tmp_path / "m")
    before = loading.digest(tmp_path / "m")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OmniRLError, match="cannot be written"):
            loading.save_model(model, processor, tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert loading.digest(tmp_path / "m") == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_second_trainer_in_the_same_place_is_refused(warm, copy_of):
    family, source = warm
    root = copy_of(source, "shared")
    with (
        folder_lock(root / ".omnirl/locks/train", purpose="train"),
        pytest.raises(OmniRLError, match=r"the stage train is already running there \(process \d+\)"),
    ):
        grpo.run(tiny_vl.params(family, train=SHORT), root)


KILLER = """
import os, signal, sys
sys.path[:0] = [sys.argv[3], sys.argv[4]]
from pathlib import Path
import tiny_vl
from short_recipes import SHORT
from omnirl.train import callbacks, grpo
def kill(self, args, state, control, **rest):
    if state.global_step == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
callbacks.Watch.on_step_begin = kill
grpo.run(tiny_vl.params(sys.argv[2], train=SHORT), Path(sys.argv[1]))
"""


def test_kill_9_and_start_again(warm, copy_of):
    family, source = warm
    if family != "qwen2.5-vl":
        pytest.skip("one family is enough: the one whose checkpoints upstream does not load")
    whole, cut = copy_of(source, "whole"), copy_of(source, "cut")
    here = Path(__file__).parent
    argv = [sys.executable, "-c", KILLER, str(cut), family, str(here), str(here.parent / "models"), "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run(argv, env=environment, check=False).returncode == -signal.SIGKILL
    assert list((cut / ".omnirl/scratch").glob("train-*/step-000002"))
    params = tiny_vl.params(family, train=SHORT)
    grpo.run(params, whole)
    grpo.run(params, cut)
    assert outcome(cut) == outcome(whole)
