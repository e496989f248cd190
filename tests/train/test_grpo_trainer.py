"""The overrides of TRL: what each gives, and the upstream behaviour that is its reason."""

import inspect

import pytest
import tiny_vl
import torch
from short_recipes import SHORT
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.base_trainer import _BaseTrainer

from omnirl.models import families, loading, prompts
from omnirl.rewards import Mix, Reward
from omnirl.schema.row import Size
from omnirl.schema.score import Score
from omnirl.train import grpo
from omnirl.train.grpo_trainer import MixedGRPOTrainer, banned_tokens, join_buffer, plain_part, tensor_part
from omnirl.train.reward_adapter import RewardAdapter

KINDS = ["rec", "pairs", "text"]


@pytest.fixture
def trainer(warm, tmp_path):
    family, root = warm
    made, _ = grpo.build(tiny_vl.params(family, train=SHORT), root, tmp_path / "scratch", cpu=True)
    return made


@pytest.fixture
def mixed_prompts(warm):
    from trl.data_utils import prepare_multimodal_messages

    from omnirl.train.rows import pictures

    family, root = warm
    rows = [tiny_vl.make_rows(root, "probe", kind, "train", 1)[0] for kind in ("pairs", "text", "rec")]
    model = tiny_vl.params(family).model
    return rows, [prepare_multimodal_messages(prompts.messages(row, model), images=pictures(root, row)) for row in rows]


def test_rows_without_images_get_an_empty_list_where_trl_gives_none(trainer, mixed_prompts):
    _, messages = mixed_prompts
    _, upstream, _ = GRPOTrainer._tokenize_prompts(trainer, messages)
    assert upstream[1] is None, "TRL gives a list now: the override of _tokenize_prompts can go"
    _, images, _ = trainer._tokenize_prompts(messages)
    assert [len(row) for row in images] == [2, 0, 1]


def test_sizes_are_noted_per_row_as_the_model_sees_them(trainer, mixed_prompts):
    _, messages = mixed_prompts
    trainer._tokenize_prompts(messages)
    assert trainer.seen == [[Size(84, 112)] * 2, [], [Size(84, 112)]]


def test_a_chunk_of_text_rows_in_a_mixed_batch_gets_no_pixels_where_trl_crashes(trainer, mixed_prompts):
    _, messages = mixed_prompts
    text = trainer.processing_class.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    images = [[c["image"] for c in m[-1]["content"] if c["type"] == "image"] for m in messages]
    batch = dict(trainer.processing_class(text=text, images=images, padding=True, return_tensors="pt"))
    call = {"logits_to_keep": 2, "batch_size": 1, "num_images": [2, 0, 1], **batch}
    with pytest.raises((RuntimeError, ValueError)):  # when this passes, the override can go
        GRPOTrainer._get_per_token_logps_and_entropies(trainer, trainer.model, **call)
    by_row, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, **call)
    together, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, **(call | {"batch_size": 3}))
    assert by_row.shape == (3, 2)
    assert torch.allclose(by_row, together, atol=1e-4)


def test_every_placeholder_is_banned_where_trl_bans_one(trainer, warm, tmp_path):
    family, _ = warm
    entry = families.get(family)
    ours = set(trainer.generation_config.suppress_tokens)
    assert ours == {trainer.processing_class.tokenizer.convert_tokens_to_ids(t) for t in entry.placeholders}
    stock = GRPOTrainer(
        model=trainer.model,
        reward_funcs=[lambda completions, **_: [0.0] * len(completions)],
        args=GRPOConfig(
            str(tmp_path), per_device_train_batch_size=2, num_generations=2, report_to="none", use_cpu=True, bf16=False
        ),
        train_dataset=trainer.train_dataset,
        processing_class=trainer.processing_class,
    )
    assert set(stock.generation_config.suppress_tokens) < ours, "TRL bans all of them now: our list can go"


def test_a_placeholder_is_never_sampled_however_likely_it_is(trainer, mixed_prompts):
    banned = banned_tokens(trainer.processing_class, trainer.parts.family)
    trainer.generation_config.sequence_bias = {(token,): 60.0 for token in banned}
    trainer.model.train()
    _, completions, *_ = trainer._generate(mixed_prompts[1])
    assert not {token for ids in completions for token in ids} & banned


def test_weights_come_back_from_a_checkpoint(trainer, tmp_path):
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(1.0)
    wanted = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.model.save_pretrained(tmp_path / "checkpoint-1")
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.zero_()
    if trainer.parts.family.name == "qwen2.5-vl":
        Trainer._load_from_checkpoint(trainer, str(tmp_path / "checkpoint-1"))
        left = sum(int(p.count_nonzero()) for p in trainer.model.parameters())
        assert left == 0, "transformers loads these weights now: the override of _load_from_checkpoint can go"
    trainer._load_from_checkpoint(str(tmp_path / "checkpoint-1"))
    assert all(torch.equal(v, wanted[k]) for k, v in trainer.model.state_dict().items())


def test_reasons_for_our_own_checkpoints_still_hold(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    assert get_last_checkpoint(str(tmp_path)), "transformers checks checkpoints for completeness now"
    written = inspect.getsource(GRPOTrainer._save_checkpoint) + inspect.getsource(Trainer._save_checkpoint)
    assert "_buffered_inputs" not in written, "TRL saves its rollout buffer now: save_extras can go"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (_BaseTrainer, "_send_telemetry"),
        (_BaseTrainer, "create_model_card"),
        (GRPOTrainer, "_tokenize_prompts"),
        (GRPOTrainer, "_calculate_rewards"),
        (GRPOTrainer, "_generate_and_score_completions"),
        (GRPOTrainer, "_get_train_sampler"),
        (Trainer, "_load_from_checkpoint"),
        (Trainer, "_load_optimizer_and_scheduler"),
        (Trainer, "_save_checkpoint"),
    ],
)
def test_what_we_replace_still_exists_with_the_parameters_we_know(owner, name):
    ours = getattr(MixedGRPOTrainer, name)
    assert ours is not getattr(owner, name), "not replaced any more"
    known = [p for p in inspect.signature(ours).parameters if p not in ("args", "kwargs")]
    assert set(known) <= set(inspect.signature(getattr(owner, name)).parameters)


def test_rewards_see_each_row_with_the_frame_and_size_its_model_saw(warm, tmp_path):
    family, root = warm
    params = tiny_vl.params(family, train=SHORT | {"steps": 1}, model={"max_pixels": 84 * 84})
    trainer, _ = grpo.build(params, root, tmp_path / "scratch", cpu=True)
    rows = []

    def spy(completion, row):
        rows.append(row)
        return Score(float(len(completion) % 3) / 2)

    known = {n: Reward(n, 1, 0.0, 1.0, "test", "test", spy) for n in ("rec_iou", "unified_accuracy")}
    trainer.parts.rewards.mix = Mix([("accuracy", 1.0), ("format", 1.0)], {**known, "format": known["rec_iou"]})
    trainer.train()
    expected = {Size(84, 84): Size(84, 84), Size(84, 112): Size(56, 84)}  # 7,056 pixels at most, sides of 28
    boxes = [row for row in rows if row.task == "rec"]
    assert {row.dataset for row in rows} == {"rec_train", "pairs_train", "text_train"}
    assert all(row.answer_frame == "resized_px" for row in rows)
    assert boxes
    assert all(row.resized == expected[row.box_size] for row in boxes)
    assert all(row.resized is None for row in rows if row.task != "rec")


def test_exact_answers_are_paid_in_full_through_frame_and_size(warm, tmp_path):
    family, root = warm
    params = tiny_vl.params(family)
    adapter = RewardAdapter(grpo.rewards.build(params.rewards))
    entry, seen = families.get(family), Size(168, 168)  # shown at twice the size
    rows = [tiny_vl.make_rows(root, "paid", kind, "train", 2)[1] for kind in KINDS]
    rows = [row.seen_by(entry.frame, seen if row.images else None) for row in rows]
    scored = adapter.score(rows, [prompts.target_text(row, entry, row.resized) for row in rows])
    assert [mixed.total for mixed in scored] == pytest.approx([2.0] * 3)
    values = [part(completions=[None] * 3) for part in adapter.functions()]
    assert adapter.names == ["accuracy", "format"]
    assert values == [pytest.approx([1.0] * 3)] * 2


def test_recorded_rewards_and_advantages_are_those_that_were_learnt_from(warm, tmp_path):
    family, root = warm
    trainer, _ = grpo.build(tiny_vl.params(family, train=SHORT | {"steps": 2}), root, tmp_path / "s", cpu=True)
    trainer.scratch = tmp_path / "s"
    trainer.train()
    rollouts = trainer.parts.recorder.rollouts
    assert [r.step for r in rollouts] == [1] * 12 + [2] * 12
    for start in range(0, 24, 4):  # one group: the same question, advantages by the formula of the loss
        group = rollouts[start : start + 4]
        assert len({r.uid for r in group}) == 1
        values = torch.tensor([r.reward for r in group])
        expected = (values - values.mean()) / (values.std() + 1e-4)
        assert torch.allclose(torch.tensor([r.advantage for r in group]), expected, atol=1e-4)
        assert all(r.reward == pytest.approx(sum(r.parts.values())) for r in group)
    logged = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    means = [sum(r.reward for r in rollouts if r.step == step) / 12 for step in (1, 2)]
    assert logged == pytest.approx(means, abs=1e-5)
    assert all(r.truncated == (r.tokens == 24) or not r.truncated for r in rollouts)


def test_buffer_survives_its_two_files(tmp_path):
    buffer = [
        {"ids": torch.arange(6).view(2, 3), "num_images": [1, 0]},
        {"ids": torch.zeros(2, 3), "num_items_in_batch": torch.tensor(4)},
    ]
    joined = join_buffer(plain_part(buffer), tensor_part(buffer), torch.device("cpu"))
    assert [b.keys() for b in joined] == [b.keys() | {"ids"} for b in buffer]
    assert torch.equal(joined[0]["ids"], buffer[0]["ids"])
    assert joined[0]["num_images"] == [1, 0]
    assert joined[1]["num_items_in_batch"].item() == 4
    assert plain_part(None) is None


def test_saved_model_reloads_to_the_trained_weights(trainer, tmp_path):
    trainer.train()
    trained = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    settings = tiny_vl.params(trainer.parts.family.name).model
    loading.save_model(trainer.model, trainer.processing_class, tmp_path / "saved")
    loaded = loading.load_model(tmp_path / "saved", settings).state_dict()
    assert all(torch.equal(v, loaded[k]) for k, v in trained.items())
