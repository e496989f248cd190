"""The stages `sft` and `train` as commands run them: outputs, options, and bad input."""

import socket
import sys

import pytest
import tiny_vl
import torch
from short_recipes import SHORT

from omnirl.errors import DataError, ModelError, RewardError, TrainingError
from omnirl.io.files import read_json, read_jsonl
from omnirl.io.rows import read_rollouts, read_rows, write_rows
from omnirl.models import loading
from omnirl.rewards import Mix, Reward
from omnirl.schema.score import Score
from omnirl.train import grpo, sft

CONNECTIONS: list = []


def _note(event, arguments):
    if event == "socket.connect" and not isinstance(arguments[1], str):
        CONNECTIONS.append(arguments[1])


sys.addaudithook(_note)


def weights(folder, family):
    return loading.load_model(folder, tiny_vl.params(family).model).state_dict()


def test_train_leaves_model_report_curve_and_rollouts(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    params = tiny_vl.params(family, train=SHORT)
    report = grpo.run(params, root)
    assert report == read_json(root / "reports/train.json")
    assert report["steps"] == 4
    assert report["base_digest"] == loading.digest(root / "models/sft")
    assert report["model_digest"] == loading.digest(root / "models/grpo") != report["base_digest"]
    curve = (root / "reports/train_curve.csv").read_text().splitlines()
    assert curve[0] == ("step,reward,accuracy,format,completion_tokens,truncated,loss,entropy,frac_reward_zero_std")
    assert [line.split(",")[0] for line in curve[1:]] == ["1", "2", "3", "4"]
    rollouts = read_rollouts(root / "data/rollouts/train.parquet")
    assert {r.task for r in rollouts if r.step == 1} == {"rec", "generative"}
    assert {r.uid.split("/")[0] for r in rollouts if r.step == 1} == set(params.train.datasets)
    [events] = (root / "runs").glob("*/events.jsonl")
    steps = [e for e in read_jsonl(events) if e["kind"] == "train_step"]
    assert [e["step"] for e in steps] == [1, 2, 3, 4]
    assert steps[0]["seconds"].keys() == {"prompts", "generate", "rewards", "advantages", "learn", "step"}


def test_outputs_hold_no_time_no_path_and_no_process(warm, copy_of):
    family, source = warm
    first, second = copy_of(source, "one"), copy_of(source, "two")
    for root in (first, second):
        grpo.run(tiny_vl.params(family, train=SHORT), root)
    for name in ("reports/train.json", "reports/train_curve.csv", "data/rollouts/train.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert loading.digest(first / "models/grpo") == loading.digest(second / "models/grpo")


def test_training_makes_no_connection(warm, copy_of):
    family, source = warm
    CONNECTIONS.clear()
    grpo.run(tiny_vl.params(family, train=SHORT | {"steps": 1}), copy_of(source, "a"))
    assert CONNECTIONS == []
    with socket.socket() as probe:  # the hook does see connections
        probe.settimeout(0.1)
        with pytest.raises(OSError, match=r".*"):
            probe.connect(("127.0.0.1", 1))
    assert len(CONNECTIONS) == 1


def test_lora_trains_language_only_and_is_merged_into_a_plain_model(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    lora = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    report = grpo.run(tiny_vl.params(family, train=SHORT | lora | {"beta": 0.04}), root)
    assert 0 < report["trained_parameters"] < report["parameters"] / 2
    before, after = weights(root / "models/sft", family), weights(root / "models/grpo", family)
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert before.keys() == after.keys()
    assert changed
    assert all("language_model" in k and k.endswith("_proj.weight") for k in changed)


@pytest.mark.parametrize("part", ["vision", "language", "merger"])
def test_frozen_parts_do_not_move_and_the_rest_does(warm, copy_of, part):
    family, source = warm
    root = copy_of(source, "a")
    sft.run(tiny_vl.params(family, sft={"freeze": [part]}), root)
    before, after = weights(root / "models/base", family), weights(root / "models/sft", family)
    mark = {"vision": ".visual.", "language": "language_model.", "merger": "visual.merger."}[part]
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved
    assert not {k for k in moved if mark in k or (part == "language" and "lm_head" in k)}


def test_freezing_everything_is_refused(warm, copy_of):
    family, source = warm
    with pytest.raises(TrainingError, match="leaves nothing to train"):
        sft.run(tiny_vl.params(family, sft={"freeze": ["vision", "language"]}), copy_of(source, "a"))


def test_kl_to_the_warm_start_is_part_of_the_loss(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    params = tiny_vl.params(family, train=SHORT | {"beta": 0.1, "num_iterations": 2})
    trainer, _ = grpo.build(params, root, root / "scratch", cpu=True)
    trainer.scratch = root / "scratch"
    trainer.train()
    kl = [line["kl"] for line in trainer.state.log_history if "kl" in line]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[-1] > 0


def test_long_prompts_are_refused_counted_and_named_never_cut(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    path = root / "data/valid/text_train.parquet"
    rows = read_rows(path)
    rows[0] = rows[0].model_copy(update={"problem": "see " * 200})
    write_rows(path, rows)
    report = grpo.run(tiny_vl.params(family, train=SHORT | {"steps": 1, "max_prompt_length": 60}), root)
    assert report["refused_prompts"] == 1
    assert report["datasets"]["text_train"] == 7
    [events] = (root / "runs").glob("*/events.jsonl")
    assert [e["uids"] for e in read_jsonl(events) if e["kind"] == "prompts_refused"] == [[rows[0].uid]]


def test_a_data_set_without_a_short_enough_prompt_stops_the_run(warm, copy_of):
    family, source = warm
    with pytest.raises(DataError, match=r"every prompt has more than train\.max_prompt_length = 5 tokens"):
        grpo.run(tiny_vl.params(family, train=SHORT | {"max_prompt_length": 5}), copy_of(source, "a"))


def test_prompt_length_counts_image_tokens_as_the_model_does(warm, tmp_path):
    from omnirl.models import families, prompts
    from omnirl.train.rows import Seen, pictures, prompt_tokens

    family, root = warm
    settings = tiny_vl.params(family).model
    processor = loading.load_processor(root / "models/sft", settings)
    for kind in ("rec", "pairs", "text"):
        row = tiny_vl.make_rows(root, "length", kind, "train", 1)[0]
        text = processor.apply_chat_template(
            prompts.messages(row, settings), add_generation_prompt=True, tokenize=False
        )
        images = pictures(root, row)
        real = processor(text=[text], images=[images] if images else None, return_tensors="pt")["input_ids"].shape[1]
        assert prompt_tokens(row, settings, processor, Seen(processor, families.get(family))) == real


def test_more_prompts_per_step_than_rows_is_refused(warm, copy_of):
    family, source = warm
    with pytest.raises(TrainingError, match="24 rows, but each step needs 25 prompts"):
        grpo.run(tiny_vl.params(family, train=SHORT | {"prompts_per_step": 25}), copy_of(source, "a"))


def test_exploding_loss_stops_with_a_sentence(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    settings = {"learning_rate": 1e30, "max_grad_norm": 1e30, "steps": 6}
    with pytest.raises(TrainingError, match=r"sft: the loss is (nan|inf) at step \d; lower sft\.learning_rate"):
        sft.run(tiny_vl.params(family, sft=settings), root)
    assert not (root / "reports/sft.json").exists()


def test_a_crashing_reward_stops_training_and_names_reward_and_row(warm, copy_of, monkeypatch):
    family, source = warm

    def crash(completion, row):
        if row.task == "generative":
            raise ZeroDivisionError("nothing to divide")
        return Score(0.0)

    bad = Reward("rec_iou", 1, 0.0, 1.0, "test", "test", crash)
    mix = Mix([("accuracy", 1.0)], {"rec_iou": bad, "unified_accuracy": bad})
    monkeypatch.setattr(grpo.rewards, "build", lambda _: mix)
    with pytest.raises(RewardError, match=r"reward rec_iou@1, row text_train/\d: .*nothing to divide"):
        grpo.run(tiny_vl.params(family, train=SHORT), copy_of(source, "a"))


def test_missing_rows_and_missing_model_are_named(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    (root / "data/valid/rec_train.parquet").unlink()
    with pytest.raises(DataError, match=r"rec_train\.parquet: no such file"):
        grpo.run(tiny_vl.params(family, train=SHORT), root)
    (root / "models/sft/config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        grpo.run(tiny_vl.params(family, train=SHORT), root)


def test_unreadable_picture_names_row_and_file(warm, copy_of):
    family, source = warm
    root = copy_of(source, "a")
    for path in (root / "data/raw/pics").glob("rec_weak-*"):
        path.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"rec_weak/\d: pics/rec_weak-\d-0\.png: not a PNG"):
        sft.run(tiny_vl.params(family), root)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_deepspeed_without_gpu_is_refused_not_ignored(warm, copy_of):
    family, source = warm
    settings = {"deepspeed": "presets/deepspeed/zero3.json"}
    with pytest.raises(TrainingError, match="this machine has no GPU"):
        sft.run(tiny_vl.params(family, sft=settings), copy_of(source, "a"))
