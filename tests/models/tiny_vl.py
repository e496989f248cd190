"""Tiny random models of both families, and a small workspace with rows to train them on."""

import random
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from omnirl.config import Params, parse_params
from omnirl.io import rows as row_files
from omnirl.io.files import read_yaml
from omnirl.models import loading
from omnirl.schema.row import Row, Size

PARAMS = Path(__file__).parents[2] / "params.yaml"
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
WORDS = "user assistant system where is the red green blue new box bbox label a and cat dog see one two d".split()  # noqa: SIM905
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<unk>", "\n", " "]
    for word in [*WORDS, *(str(28 * k) for k in range(5)), "2", *'[]{}",.:?_']:
        words += [word, " " + word]
    vocabulary = {w: i for i, w in enumerate(dict.fromkeys(words))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]|\s"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(SPECIAL)
    core.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>", "<answer>", "</answer>")]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",  # noqa: S106
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = CHAT
    return made


def build(family: str, seed: int = 0):
    """A random model of about 50,000 parameters and its processor; a patch factor of 28 pixels in both."""
    words = tokenizer()
    qwen3 = family == "demo-tiny"
    patch, merge = (28, 1) if qwen3 else (14, 2)
    images = Qwen2VLImageProcessor(
        size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 64},
        patch_size=patch,
        merge_size=merge,
        temporal_patch_size=2,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )
    token = words.convert_tokens_to_ids
    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.08,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": patch,
        "spatial_merge_size": merge,
        "temporal_patch_size": 2,
        "in_channels": 3,
        "initializer_range": 0.08,
    }
    ids = {
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
        "tie_word_embeddings": True,
    }
    torch.manual_seed(seed)
    if qwen3:
        text |= {"head_dim": 16}
        text["rope_parameters"]["mrope_interleaved"] = True
        vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": []}
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids))
        kind, video = Qwen3VLProcessor, Qwen3VLVideoProcessor
    else:
        text |= {"tie_word_embeddings": True, "use_sliding_window": False}
        vision |= {"window_size": 112, "fullatt_block_indexes": [0]}
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))
        kind, video = Qwen2_5_VLProcessor, Qwen2VLVideoProcessor
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    processor = kind(image_processor=images, tokenizer=words, video_processor=video(), chat_template=CHAT)
    return model, processor


def params(family: str = "demo-tiny", **changes: dict) -> Params:
    """`params.yaml` with few, short steps; `changes` are sections with keys to replace."""
    data = read_yaml(PARAMS)
    data["model"]["family"] = family
    data["sft"] |= {"steps": 4, "batch_size": 6, "save_steps": 2, "logging_steps": 1}
    data["train"] |= {
        "steps": 4,
        "prompts_per_step": 3,
        "num_generations": 2,
        "max_output_token_length": 8,
        "save_steps": 2,
    }
    for section, keys in changes.items():
        data[section] |= keys
    return parse_params(data, where="test")


def _picture(folder: Path, name: str, cells: list[tuple[int, int, str]], size: Size) -> str:
    image = Image.new("RGB", size, (128, 128, 128))
    for column, row, colour in cells:
        ImageDraw.Draw(image).rectangle(
            (28 * column + 3, 28 * row + 3, 28 * column + 24, 28 * row + 24), COLOURS[colour]
        )
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)
    return f"{folder.name}/{name}"


def make_rows(root: Path, dataset: str, kind: str, split: str, count: int) -> list[Row]:
    """Rows of one kind (`rec`, `pairs`, `text`) with their pictures below `data/raw/pics`; every other one a thought."""
    rng = random.Random(f"{dataset}{kind}")
    folder = root / "data/raw/pics"
    made = []
    for k in range(count):
        colours = rng.sample(sorted(COLOURS), 2)
        places = rng.sample([(x, y) for x in range(3) for y in range(3)], 2)
        cells = [(*place, colour) for place, colour in zip(places, colours, strict=True)]
        size = Size(84, 84) if k % 2 else Size(84, 112)
        common = {
            "uid": f"{dataset}/{k}",
            "dataset": dataset,
            "split": split,
            "cluster": f"{dataset}-{k}",
            "thought": "one two" if k % 2 else None,
        }
        if kind == "text":
            made.append(
                Row(
                    task="generative",
                    problem="see red cat",
                    answer="a red cat and a dog",
                    reward="unified_accuracy",
                    **common,
                )
            )
            continue
        shown = [cells] if kind == "rec" else [cells[:1], cells]
        images = tuple(_picture(folder, f"{dataset}-{k}-{n}.png", part, size) for n, part in enumerate(shown))
        x, y, colour = cells[-1]
        box = (28.0 * x, 28.0 * y, 28.0 * x + 28, 28.0 * y + 28)
        made.append(
            Row(
                task="rec",
                problem=f"where is the {colour} box?" if kind == "rec" else "<image><image>where is the new box?",
                answer=str([round(v) for v in box]),
                reward="rec_iou",
                images=images,
                sizes=tuple(size for _ in images),
                bbox=box,
                box_frame="original_px",
                box_image=len(images) - 1,
                **common,
            )
        )
    return made


def make_workspace(root: Path, family: str = "demo-tiny", *, count: int = 8) -> None:
    """`models/base`, `data/valid` and `data/raw` below `root`, as the stages before `sft` leave them."""
    model, processor = build(family)
    loading.save_model(model, processor, root / "models/base")
    for kind in ("rec", "pairs", "text"):
        for dataset, split in ((f"{kind}_weak", "sft"), (f"{kind}_train", "train")):
            row_files.write_rows(root / f"data/valid/{dataset}.parquet", make_rows(root, dataset, kind, split, count))
