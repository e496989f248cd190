"""The demo's model: the classes of Qwen3-VL, made so small that a laptop trains it in a minute.

Text: hidden 128, 3 layers, 4 heads. Vision: hidden 64, one layer, patches of 28 px without merging, so
a picture of 84 x 84 px is 9 tokens. About 0.86 million parameters, randomly initialised from a seed.
"""

import torch
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from omnirl.demo import scenes, vocabulary

HIDDEN, LAYERS, HEADS = 128, 3, 4
VISION_HIDDEN, VISION_LAYERS, VISION_HEADS = 64, 1, 4
INITIAL_STD = 0.08
POSITION_STD = 1.0
"""Where a patch lies must be as loud as what is in it, or places are never learnt."""
ROPE_THETA = 10_000.0
MAX_TOKENS = 1024


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    """The architecture for this vocabulary."""
    half = HIDDEN // HEADS // 2
    third = half // 3
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": INITIAL_STD,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": ROPE_THETA,
            "mrope_section": [half - 2 * third, third, third],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "depth": VISION_LAYERS,
        "hidden_size": VISION_HIDDEN,
        "intermediate_size": 2 * VISION_HIDDEN,
        "num_heads": VISION_HEADS,
        "out_hidden_size": HIDDEN,
        "patch_size": vocabulary.PATCH,
        "spatial_merge_size": 1,
        "temporal_patch_size": 2,
        "in_channels": 3,
        "initializer_range": INITIAL_STD,
        "num_position_embeddings": scenes.GRID**2,
        "deepstack_visual_indexes": [],
    }
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=vocabulary.token_id(tokenizer, "<|image_pad|>"),
        video_token_id=vocabulary.token_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=vocabulary.token_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=vocabulary.token_id(tokenizer, "<|vision_end|>"),
        tie_word_embeddings=True,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3VLForConditionalGeneration:
    """A new model whose weights follow from `seed` alone; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(build_config(tokenizer))
        with torch.no_grad():
            patches = model.model.visual.patch_embed.proj.weight
            patches.normal_(0, patches[0].numel() ** -0.5)
            model.model.visual.pos_embed.weight.normal_(0, POSITION_STD)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model
