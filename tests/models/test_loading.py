"""The door for weights: what comes out equals what went in, and nothing unsafe gets through."""

import json
import shutil

import pytest
import tiny_vl
import torch
from PIL import Image

from omnirl.errors import ModelError
from omnirl.models import families, loading, prompts
from omnirl.schema.row import Size

FAMILIES = ["demo-tiny", "qwen2.5-vl"]


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "base"
    model, processor = tiny_vl.build(request.param)
    loading.save_model(model, processor, folder)
    return request.param, folder, model


def test_loaded_weights_are_bitwise_those_that_were_saved(saved):
    family, folder, model = saved
    loaded = loading.load_model(folder, tiny_vl.params(family).model)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


def test_saving_what_was_loaded_keeps_the_digest(saved, tmp_path):
    family, folder, _ = saved
    settings = tiny_vl.params(family).model
    loading.save_model(loading.load_model(folder, settings), loading.load_processor(folder, settings), tmp_path / "a")
    loading.save_model(loading.load_model(folder, settings), loading.load_processor(folder, settings), tmp_path / "b")
    assert loading.digest(tmp_path / "a") == loading.digest(tmp_path / "b")


def test_saved_files_hold_no_path_and_no_training_arguments(saved):
    _, folder, _ = saved
    texts = {p.name: p.read_text() for p in folder.rglob("*") if p.suffix in (".json", ".jinja", ".txt")}
    assert "config.json" in texts
    assert not [name for name, text in texts.items() if str(folder.parent) in text or ".tmp" in text]
    assert not (folder / "training_args.bin").exists()
    assert list(folder.glob("*.safetensors"))


def test_processor_keeps_template_and_pads_left_and_takes_pixel_bounds(saved):
    family, folder, _ = saved
    settings = tiny_vl.params(family, model={"max_pixels": 84 * 84, "min_pixels": 84 * 84}).model
    processor = loading.load_processor(folder, settings)
    assert processor.tokenizer.padding_side == "left"
    assert processor.chat_template == tiny_vl.CHAT
    batch = processor(
        text=["<|vision_start|><|image_pad|><|vision_end|>"],
        images=[[Image.new("RGB", (200, 200))]],
        return_tensors="pt",
    )
    assert families.image_sizes_seen(batch, families.get(family)) == [Size(84, 84)]


def test_image_sizes_seen_come_from_the_grid_per_image_in_order(saved):
    family, folder, _ = saved
    processor = loading.load_processor(folder, tiny_vl.params(family).model)
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    images = [[Image.new("RGB", (200, 90))], [Image.new("RGB", (84, 112)), Image.new("RGB", (56, 28))]]
    batch = processor(text=[place, place * 2], images=images, padding=True, return_tensors="pt")
    seen = families.image_sizes_seen(batch, families.get(family))
    # 200x90: both sides rounded to the nearest multiple of 28 (196, 84); the others are multiples already
    assert families.split_by_row(seen, [1, 2]) == [[Size(196, 84)], [Size(84, 112), Size(56, 28)]]


def test_chat_template_puts_images_where_the_row_says(saved, tmp_path):
    family, folder, _ = saved
    settings = tiny_vl.params(family).model
    processor = loading.load_processor(folder, settings)
    row = tiny_vl.make_rows(tmp_path, "x", "pairs", "train", 1)[0]
    text = processor.apply_chat_template(prompts.messages(row, settings), add_generation_prompt=True, tokenize=False)
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    assert text == (f"<|im_start|>user\n{place}{place}where is the new box?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pkl", ".ckpt"])
def test_pickled_weights_are_refused_even_beside_safetensors(saved, tmp_path, ending):
    family, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / f"pytorch_model{ending}").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=rf"pytorch_model\{ending}: pickled weights"):
        loading.load_model(copy, tiny_vl.params(family).model)


@pytest.mark.parametrize(
    ("name", "message"),
    [("config.json", "no config.json"), ("model.safetensors", "no .*safetensors file")],
)
def test_missing_files_are_named(saved, tmp_path, name, message):
    family, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(ModelError, match=message):
        loading.load_model(copy, tiny_vl.params(family).model)


def test_code_in_the_folder_is_refused_and_never_run(saved, tmp_path):
    family, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    canary = tmp_path / "ran"
    (copy / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass M: pass\n")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForImageTextToText": "evil.M"}}))
    with pytest.raises(ModelError, match="auto_map"):
        loading.load_model(copy, tiny_vl.params(family).model)
    assert not canary.exists()


def test_another_architecture_than_the_family_is_refused(saved):
    family, folder, _ = saved
    other = next(f for f in FAMILIES if f != family)
    with pytest.raises(ModelError, match="model_type is"):
        loading.load_model(folder, tiny_vl.params(other).model)


def test_damaged_weights_are_an_error_not_random_numbers(saved, tmp_path):
    family, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        loading.load_model(copy, tiny_vl.params(family).model)


def test_a_missing_weight_is_an_error_not_a_random_number(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    family, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    gone = next(k for k in weights if "q_proj" in k)
    save_file({k: v for k, v in weights.items() if k != gone}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="1 weights are missing"):
        loading.load_model(copy, tiny_vl.params(family).model)


def test_a_failed_save_leaves_the_older_model_untouched(saved, tmp_path):
    _, folder, model = saved
    target = shutil.copytree(folder, tmp_path / "kept")
    before = loading.digest(target)

    class Full:
        def save_pretrained(self, place):
            raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        loading.save_model(model, Full(), target)
    assert loading.digest(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
