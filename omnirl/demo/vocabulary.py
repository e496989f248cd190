"""The words of the demo's model, its word-level tokenizer and its processor.

About a hundred tokens: each word, number and sign stands twice, with and without a blank before it,
so that any text made of known words survives encoding and decoding unchanged. The processor is the
ordinary one of Qwen3-VL with patches of 28 px and at most 84 x 84 px for each picture: larger ones
are reduced. Does not know the model.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from omnirl.demo import scenes

PATCH = 28
"""Pixels of a patch = pixels of a grid cell as the model sees it = one vision token."""
MAX_PIXELS = (scenes.GRID * PATCH) ** 2
IMAGE_MEAN, IMAGE_STD = 0.5, 0.25
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
AUXILIARY = ("there", "no")
"""Labels of vision tokens while the base model is made: does this cell belong to the answer?"""
WORDS = (
    *[
        "system",
        "user",
        "assistant",
        "Find",
        "Write",
        "the",
        "a",
        "and",
        "is",
        "at",
        "left",
        "right",
        "of",
        "above",
        "below",
        "new",
        "object",
    ],
    *AUXILIARY,
    *scenes.COLOURS,
    *scenes.SHAPES,
)
NUMBERS = tuple(sorted({*range(scenes.GRID**2), *(PATCH * i for i in range(scenes.GRID + 1))}))
SIGNS = "[],.:"
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The word-level tokenizer; an unknown word becomes `<unk>`."""
    pieces = ["<unk>", "\n", " "]
    for word in (*WORDS, *map(str, NUMBERS), *SIGNS):
        pieces += [word, f" {word}"]
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]|\s"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(list(SPECIAL))
    core.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",  # noqa: S106
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of one token of the vocabulary."""
    return tokenizer.get_vocab()[token]


def build_processor() -> ProcessorMixin:
    """Tokenizer and image processor; a picture becomes patches of 28 px, at most 3 x 3 of them."""
    pictures = Qwen2VLImageProcessor(
        size={"shortest_edge": PATCH * PATCH, "longest_edge": MAX_PIXELS},
        patch_size=PATCH,
        merge_size=1,
        temporal_patch_size=2,
        image_mean=[IMAGE_MEAN] * 3,
        image_std=[IMAGE_STD] * 3,
    )
    return Qwen3VLProcessor(
        image_processor=pictures,
        tokenizer=build_tokenizer(),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
