"""The demo's model and its Hub, made for real but with few steps."""

import json
import random
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import snapshot_download

from omnirl import config
from omnirl.demo import base_recipe, hub, scenes, tiny_model, vocabulary
from omnirl.errors import ConfigError, OmniRLError
from omnirl.geometry.iou import iou
from omnirl.io import files
from omnirl.io.images import decode_image, encode_image
from omnirl.io.locks import folder_lock
from omnirl.models import families, loading

FAMILY = families.get("demo-tiny")


@pytest.fixture(scope="module")
def params():
    return config.load_params(Path(__file__).parents[2] / "params.yaml")


def shortened(params, **changes):
    """`params` with a demo that is made in seconds."""
    base = params.fetch.demo.base.model_copy(update={"steps": 2, "batch": 3, "warmup_steps": 1})
    few = {"train_rows": 4, "weak_rows": 4, "eval_rows": 3, "broken_rows": 1, "base": base, **changes}
    demo = params.fetch.demo.model_copy(update=few)
    return params.model_copy(update={"fetch": params.fetch.model_copy(update={"demo": demo})})


@pytest.fixture(scope="module")
def processor():
    return vocabulary.build_processor()


def some_scenes(count=12, **options):
    rng = random.Random(7)
    return [s for kind in scenes.KINDS for s in scenes.distinct_scenes(rng, kind, count, **options)]


@pytest.mark.parametrize("domain", ["in", "out"])
def test_every_text_of_the_demo_survives_the_tokenizer(processor, domain):
    for scene in some_scenes(60, domain=domain):
        for text in (scene.question, scene.thought, scene.answer if domain == "in" else scene.question):
            ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
            assert processor.tokenizer.unk_token_id not in ids
            assert processor.tokenizer.decode(ids) == text


def test_a_box_in_the_models_frame_is_one_token_a_number(processor):
    ids = processor.tokenizer("[0, 28, 56, 84]", add_special_tokens=False)["input_ids"]
    assert processor.tokenizer.convert_ids_to_tokens(ids) == ["[", "0", ",", " 28", ",", " 56", ",", " 84", "]"]


def test_the_recipes_fast_path_is_what_the_processor_makes(processor):
    encoder = base_recipe.Encoder(processor.tokenizer)
    for scene in some_scenes():
        content = [{"type": "text", "text": scene.question}, *({"type": "image"} for _ in scene.pictures)]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        slow = processor(text=[text], images=[p.draw() for p in scene.pictures] or None, return_tensors="pt")
        example = encoder.example(scene)
        assert slow["input_ids"][0].tolist() == example.prompt
        if scene.pictures:
            torch.testing.assert_close(slow["pixel_values"], torch.from_numpy(example.patches), atol=1e-5, rtol=0)
            assert slow["image_grid_thw"].tolist() == [[1, 3, 3]] * len(scene.pictures)


def test_the_processor_reduces_out_of_domain_pictures_to_84_px(processor):
    picture = scenes.distinct_scenes(random.Random(1), "rec", 1, domain="out")[0].pictures[0].draw()
    seen = processor.image_processor(images=[picture], return_tensors="pt")
    assert picture.size == (126, 126)
    assert FAMILY.image_size_from_grid(seen["image_grid_thw"][0].tolist()) == (84, 84)


def test_auxiliary_labels_point_at_the_answer(processor):
    scene = scenes.Scene(
        "rec", "Find the red circle.", "circle red 1", "[28, 0, 84, 28]",
        (scenes.Picture((scenes.Thing("red", "circle", (1, 0, 3, 1)),), scenes.STYLES["in"]),), (1, 0, 3, 1),
    )  # fmt: skip
    example = base_recipe.Encoder(processor.tokenizer).example(scene)
    labels = [processor.tokenizer.decode([v]).strip() for v in example.prompt_labels if v != base_recipe.IGNORED]
    assert labels == ["no", "there", "there", "no", "no", "no", "no", "no", "no"]
    places = [i for i, v in enumerate(example.prompt_labels) if v != base_recipe.IGNORED]
    assert [example.prompt[i - 1] for i in places] == [processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")] * 9


def test_padding_does_not_change_what_is_learnt(processor):
    encoder = base_recipe.Encoder(processor.tokenizer)
    model = tiny_model.build_model(processor.tokenizer, 0)
    rec, text = (encoder.example(s) for s in (some_scenes(1)[0], some_scenes(1)[2]))
    with torch.no_grad():
        alone = model(**encoder.batch([rec])).logits[0, -len(rec.target) - 1 :]
        both = model(**encoder.batch([rec, text]))
        start = max(len(rec.prompt), len(text.prompt)) - 1
        padded = both.logits[0, start : start + 1 + len(rec.target)]
    torch.testing.assert_close(alone, padded, atol=1e-3, rtol=1e-4)


def test_the_model_is_as_small_as_promised_and_of_its_family(processor):
    model = tiny_model.build_model(processor.tokenizer, 0)
    assert 0.8e6 < sum(p.numel() for p in model.parameters()) < 0.9e6
    assert model.config.model_type == FAMILY.model_type
    names = dict(model.named_modules())
    assert all(place in names for place in FAMILY.parts().values())


def test_building_a_model_leaves_the_callers_random_state_alone(processor):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    tiny_model.build_model(processor.tokenizer, 0)
    assert torch.equal(torch.rand(1), expected)


def test_rates_warm_up_stay_and_fall(params):
    base = params.fetch.demo.base  # 500 steps, 40 of them warm-up
    factors = [base_recipe.rate_factor(step, base) for step in (0, 19, 39, 299, 300, 400, 499)]
    assert factors == pytest.approx([1 / 40, 0.5, 1.0, 1.0, 1.0, 0.5, 0.02])


def weights(model):
    return torch.cat([p.detach().flatten() for _, p in sorted(model.named_parameters())])


def test_the_same_seed_makes_the_same_weights_whatever_the_threads(params):
    demo = shortened(params).fetch.demo
    first = weights(base_recipe.train(demo)[0])
    torch.manual_seed(123)  # whatever state the caller is in
    torch.set_num_threads(2)
    again = weights(base_recipe.train(demo)[0])
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    other = weights(base_recipe.train(demo.model_copy(update={"seed": 2}))[0])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_few_steps_already_teach_the_form_of_answers(params):
    base = params.fetch.demo.base.model_copy(update={"steps": 15, "batch": 12, "warmup_steps": 3})
    model, processor = base_recipe.train(params.fetch.demo.model_copy(update={"base": base}))
    encoder = base_recipe.Encoder(processor.tokenizer)
    fresh = tiny_model.build_model(processor.tokenizer, params.fetch.demo.seed)
    batch = encoder.batch([encoder.example(s) for s in some_scenes(4, held_out=True)])
    with torch.no_grad():
        assert model(**batch).loss < fresh(**batch).loss / 3


def answers(model, processor, drawn):
    """Greedy answers, through the ordinary processor and pictures that were encoded and decoded."""
    texts, pictures = [], []
    for scene in drawn:
        content = [{"type": "text", "text": scene.question}, *({"type": "image"} for _ in scene.pictures)]
        message = [{"role": "user", "content": content}]
        texts.append(processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False))
        form = "JPEG" if scene.kind == "rec" and scene.pictures[0].style.cell == 28 else "PNG"
        encoded = [encode_image(p.draw(), form) for p in scene.pictures]
        pictures += [[decode_image(data, where="scene") for data in encoded]] if encoded else []
    batch = processor(text=texts, images=pictures or None, padding=True, return_tensors="pt")
    out = model.generate(**batch, max_new_tokens=28, do_sample=False)[:, batch["input_ids"].shape[1] :]
    return processor.tokenizer.batch_decode(out, skip_special_tokens=True)


def is_right(completion, scene):
    found = re.fullmatch(r"<think>[^<]*</think><answer>([^<]*)</answer>", completion)
    if found is None or scene.cells is None:
        return found is not None and found[1] == scene.answer
    box = json.loads(found[1])
    return len(box) == 4 and iou(tuple(box), tuple(28.0 * v for v in scene.cells)) > 0.5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_whole_recipe_learns_what_it_never_saw(params, seed):
    model, processor = base_recipe.train(params.fetch.demo.model_copy(update={"seed": seed}))
    for domain, least in (("in", 0.9), ("out", 0.7)):
        for kind in scenes.KINDS:
            drawn = scenes.distinct_scenes(random.Random(99), kind, 200, domain=domain, held_out=True)
            right = sum(is_right(c, s) for c, s in zip(answers(model, processor, drawn), drawn, strict=True))
            assert right / 200 >= least, (domain, kind)


@pytest.fixture(scope="module")
def made(params, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    short = shortened(params)
    return short, root, hub.make(short, root)


class TestHub:
    """Made once, complete or not at all, again when damaged or when its recipe changes."""

    def test_the_real_client_fetches_model_and_data_by_the_manifest(self, made, tmp_path):
        params, root, _ = made
        repos = {"model": params.fetch.model.repo, "dataset": params.fetch.datasets[0].repo}
        with hub.serve(params, root) as (address, manifest):
            for kind, repo in repos.items():
                got = tmp_path / kind
                snapshot_download(
                    repo, repo_type=kind, revision=manifest["revisions"][repo], endpoint=address, local_dir=got
                )
                assert {n: files.sha256_file(got / n) for n in manifest["sha256"][repo]} == manifest["sha256"][repo]
        assert all(re.fullmatch("[0-9a-f]{40}", r) for r in manifest["revisions"].values())
        assert {f.path for f in params.fetch.datasets[0].files} == set(manifest["sha256"][repos["dataset"]])
        model = loading.load_model(tmp_path / "model", params.model)
        processor = loading.load_processor(tmp_path / "model", params.model)
        assert (model.config.model_type, type(processor).__name__) == ("qwen3_vl", "Qwen3VLProcessor")

    def test_what_exists_is_not_made_again(self, made, monkeypatch):
        params, root, folder = made
        monkeypatch.setattr(base_recipe, "make", lambda *_: pytest.fail("trained again"))
        assert hub.make(params, root) == folder

    def test_damage_is_seen_and_repaired(self, made):
        params, root, folder = made
        archive = next(folder.rglob("text.zip"))
        good = archive.read_bytes()
        archive.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert next(hub.make(params, root).rglob("text.zip")).read_bytes() == good
        (folder / hub.MANIFEST).write_text("{")
        assert hub.make(params, root) == folder
        assert files.read_json(folder / hub.MANIFEST)["revisions"]

    def test_an_interrupted_making_leaves_nothing(self, params, tmp_path, monkeypatch):
        def interrupt(demo, folder):
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(base_recipe, "make", interrupt)
            with pytest.raises(KeyboardInterrupt):
                hub.make(shortened(params), tmp_path)
        left = tmp_path / ".omnirl" / "hub"
        assert [p.name for p in left.iterdir()] == [".lock"]
        killed = left / ".0123.abcdef.tmp"
        killed.mkdir()
        assert hub.make(shortened(params), tmp_path).is_dir()
        assert not killed.exists()

    def test_another_recipe_is_another_hub_and_the_old_one_goes(self, params, tmp_path):
        first = hub.make(shortened(params), tmp_path)
        second = hub.make(shortened(params, seed=2), tmp_path)
        assert first != second
        assert (first.exists(), second.exists()) == (False, True)

    def test_two_makers_do_not_meet(self, params, tmp_path):
        with (
            folder_lock(tmp_path / ".omnirl" / "hub", purpose="test"),
            pytest.raises(OmniRLError, match="already running"),
        ):
            hub.make(shortened(params), tmp_path)

    def test_the_fingerprint_covers_numbers_and_names(self, params):
        short = shortened(params)
        renamed = short.fetch.model_copy(update={"model": short.fetch.model.model_copy(update={"repo": "a/b"})})
        prints = {
            hub.fingerprint(short),
            hub.fingerprint(shortened(params, seed=2)),
            hub.fingerprint(short.model_copy(update={"fetch": renamed})),
        }
        assert len(prints) == 3
        assert hub.fingerprint(shortened(params)) in prints

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"demo": None}, "fetch.demo is null"),
            ({"datasets": ()}, "the demo makes one repository, 0 are asked for"),
        ],
    )
    def test_what_the_demo_cannot_make_is_refused(self, params, tmp_path, change, message):
        fetch = params.fetch.model_copy(update=change)
        with pytest.raises(ConfigError, match=re.escape(message)):
            hub.make(params.model_copy(update={"fetch": fetch}), tmp_path)

    def test_an_unknown_archive_is_named(self, params, tmp_path):
        data = params.fetch.datasets[0]
        odd = data.model_copy(update={"files": (data.files[0].model_copy(update={"path": "val2014.zip"}),)})
        fetch = params.fetch.model_copy(update={"datasets": (odd,)})
        with pytest.raises(ConfigError, match=r"does not make 'val2014\.zip'"):
            hub.make(params.model_copy(update={"fetch": fetch}), tmp_path)
