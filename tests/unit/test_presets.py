"""Every preset is a complete parameter file that says what it claims."""

from pathlib import Path

import pytest

from omnirl import rewards
from omnirl.config import load_params
from omnirl.io.files import read_json
from omnirl.models import families

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_preset_parses_and_names_itself(path):
    params = load_params(path)
    assert params.preset == path.stem
    assert families.get(params.model.family).name == params.model.family
    assert rewards.build(params.rewards).parts


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_sources_of_a_preset_lie_in_files_that_it_fetches(path):
    params = load_params(path)
    fetched = {f"{repo.to}/{file.path}" for repo in params.fetch.datasets for file in repo.files}
    for source in params.convert.sources:
        assert source.annotations.partition("::")[0] in fetched
        assert source.images is None or source.images in fetched


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_deepspeed_files_of_a_preset_exist_and_agree_with_the_parameters(path):
    params = load_params(path)
    for settings in (params.sft, params.train):
        if settings.deepspeed:
            content = read_json(ROOT / settings.deepspeed)
            assert content["zero_optimization"]["stage"] in (2, 3)
            assert content["train_batch_size"] == "auto"


def test_params_in_use_are_the_demo_preset_word_for_word():
    assert (ROOT / "params.yaml").read_text() == (ROOT / "presets" / "demo.yaml").read_text()


def test_rec_preset_is_the_published_recipe():
    params = load_params(ROOT / "presets" / "rec-qwen2.5-vl-3b.yaml")
    train = params.train
    # docs of the reference: lr 1e-6, beta .04, G 8, batch 8 x accumulation 2 on 8 GPUs = 16 prompts, 2,048 tokens
    assert (train.learning_rate, train.beta, train.num_generations) == (1e-6, 0.04, 8)
    assert train.prompts_per_step * train.gradient_accumulation_steps * 8 == 16
    assert train.max_output_token_length == 2048
    assert {s.box_frame for s in params.convert.sources} == {"original_px"}
    assert families.get(params.model.family).frame == "resized_px"
    assert [f.sha256[:8] for f in params.fetch.datasets[0].files] == ["ede4087e", "7cd91bfe", "16567839"]
    assert params.evaluate.iou_threshold == 0.5
