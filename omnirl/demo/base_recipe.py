"""Make the demo's base model: supervised steps on fresh, clean scenes, on one thread.

Muon moves the matrices, AdamW the rest (the patch convolution at a tenth of its rate); the rates warm
up, stay, and fall over the last 40 % of the steps. Besides the answer, every vision token learns to say
whether its cell belongs to the answer; without that, colours and words are hardly ever connected in so
few steps. Equal parameters give equal weights, bit for bit, on one kind of processor.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from omnirl.config import Demo, DemoBase
from omnirl.demo import scenes, tiny_model, vocabulary
from omnirl.errors import TrainingError
from omnirl.io.progress import Progress
from omnirl.models import loading

logger = logging.getLogger(__name__)

IGNORED = -100
"""Label of tokens that are not learnt."""
PATCH_RATE = 0.1
WEIGHT_DECAY = 0.01
BETAS = (0.9, 0.95)
MAX_GRADIENT = 1.0
DECAY_SHARE = 0.4
"""The rates fall linearly over this last share of the steps."""
LOWEST_RATE = 0.02
SMOOTHING = 0.95


@dataclass(frozen=True)
class Example:
    """One scene as tokens: prompt and target apart, for padding at both ends."""

    prompt: list[int]
    prompt_labels: list[int]
    target: list[int]
    patches: np.ndarray | None
    pictures: int


def _patches(scene: scenes.Scene) -> np.ndarray | None:
    """Flat patches of the scene's pictures, as the image processor makes them (a test compares), but faster."""
    flat = []
    size, side = vocabulary.PATCH, scenes.GRID
    for picture in scene.pictures:
        x = (np.asarray(picture.draw(), np.float32) / 255 - vocabulary.IMAGE_MEAN) / vocabulary.IMAGE_STD
        cells = x.reshape(side, size, side, size, 3).transpose(0, 2, 4, 1, 3).reshape(side**2, 3, 1, size**2)
        flat.append(np.repeat(cells, 2, axis=2).reshape(side**2, -1))
    return np.concatenate(flat) if flat else None


def _cell_words(scene: scenes.Scene) -> list[str]:
    """For each vision token, whether its cell belongs to the answer (which lies in the last picture)."""
    x1, y1, x2, y2 = scene.cells or (0, 0, 0, 0)
    there, no = vocabulary.AUXILIARY
    grid = range(scenes.GRID)
    last = [there if x1 <= x < x2 and y1 <= y < y2 else no for y in grid for x in grid]
    return [no] * ((len(scene.pictures) - 1) * len(last)) + last if scene.pictures else []


class Encoder:
    """Scenes to examples and batches; remembers the tokens of texts it has seen."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.image_token = vocabulary.token_id(tokenizer, "<|image_pad|>")
        self.end_token = vocabulary.token_id(tokenizer, "<|im_end|>")
        self.padding_token = vocabulary.token_id(tokenizer, "<|endoftext|>")
        self._known: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """Token ids of `text`."""
        if text not in self._known:
            self._known[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def example(self, scene: scenes.Scene) -> Example:
        """Prompt (question first, then pictures) with its auxiliary labels, and the target."""
        prompt = list(self.tokens(f"<|im_start|>user\n{scene.question}"))
        for _ in scene.pictures:
            prompt += self.tokens("<|vision_start|>") + [self.image_token] * scenes.GRID**2
            prompt += self.tokens("<|vision_end|>")
        prompt += self.tokens("<|im_end|>\n<|im_start|>assistant\n")
        labels = [IGNORED] * len(prompt)
        places = [i for i, token in enumerate(prompt) if token == self.image_token]
        for place, word in zip(places, _cell_words(scene), strict=True):
            labels[place + 1] = self.tokens(f" {word}")[0]  # a model's output at i is judged by label i + 1
        target = self.tokens(f"<think>{scene.thought}</think><answer>{scene.answer}</answer>")
        target = [*target, self.end_token]
        return Example(prompt, labels, target, _patches(scene), len(scene.pictures))

    def batch(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Prompts padded on the left, targets on the right, as the model's keyword arguments."""
        left, right = max(len(e.prompt) for e in examples), max(len(e.target) for e in examples)
        shape = (len(examples), left + right)
        ids, labels = torch.full(shape, self.padding_token), torch.full(shape, IGNORED)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, e in enumerate(examples):
            span = slice(left - len(e.prompt), left + len(e.target))
            ids[row, span] = torch.tensor(e.prompt + e.target)
            labels[row, span] = torch.tensor(e.prompt_labels + e.target)
            mask[row, span] = 1
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        batch["mm_token_type_ids"] = (ids == self.image_token).long()
        flat = [e.patches for e in examples if e.patches is not None]
        if flat:
            batch["pixel_values"] = torch.from_numpy(np.concatenate(flat))
            grid = (1, scenes.GRID, scenes.GRID)
            batch["image_grid_thw"] = torch.tensor([grid] * sum(e.pictures for e in examples))
        return batch


def _optimizers(model: PreTrainedModel, base: DemoBase) -> list[torch.optim.Optimizer]:
    named = list(model.named_parameters())
    patch = [p for name, p in named if "patch_embed" in name]
    matrices = [
        p for n, p in named if p.ndim == 2 and not any(part in n for part in ("embed", "lm_head", "patch_embed"))
    ]
    special = {id(p) for p in patch + matrices}
    others = {"params": [p for _, p in named if id(p) not in special], "lr": base.adamw_lr}
    slow = {"params": patch, "lr": base.adamw_lr * PATCH_RATE}
    return [
        torch.optim.Muon(matrices, lr=base.muon_lr, weight_decay=WEIGHT_DECAY, adjust_lr_fn="original"),
        torch.optim.AdamW([others, slow], betas=BETAS, weight_decay=WEIGHT_DECAY),
    ]


def rate_factor(step: int, base: DemoBase) -> float:
    """Factor on all learning rates at `step` (from 0): warm-up, plateau, linear fall."""
    warm = (step + 1) / base.warmup_steps if base.warmup_steps else 1.0
    fall = max(LOWEST_RATE, (base.steps - step) / (base.steps * DECAY_SHARE))
    return min(1.0, warm, fall)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: one thread while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(demo: Demo) -> tuple[PreTrainedModel, ProcessorMixin]:
    """A base model trained as `demo.base` says, from `demo.seed` alone.

    Raises:
        TrainingError: the loss is not a number.
    """
    processor = vocabulary.build_processor()
    model = tiny_model.build_model(processor.tokenizer, demo.seed)
    encoder = Encoder(processor.tokenizer)
    fresh = scenes.endless(random.Random(f"base {demo.seed}"))
    progress = Progress("demo: base model", demo.base.steps)
    mean = 0.0
    model.train()
    with _one_thread():
        optimizers = _optimizers(model, demo.base)
        groups = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
        for step in range(demo.base.steps):
            for group, rate in groups:
                group["lr"] = rate * rate_factor(step, demo.base)
            examples = [encoder.example(scene) for scene in islice(fresh, demo.base.batch)]
            loss = _step(model, encoder.batch(examples), optimizers)
            if not np.isfinite(loss):
                raise TrainingError(f"the demo's base model: the loss is {loss} at step {step}; lower fetch.demo.base")
            mean = loss if step == 0 else SMOOTHING * mean + (1 - SMOOTHING) * loss
            progress.add(note=f"loss {mean:.3f}")
    return model.eval(), processor


def _step(model: PreTrainedModel, batch: dict[str, torch.Tensor], optimizers: Sequence[torch.optim.Optimizer]) -> float:
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def make(demo: Demo, folder: Path) -> None:
    """Train the base model and save it to `folder`; raises as `train` and `save_model`."""
    model, processor = train(demo)
    loading.save_model(model, processor, folder)
