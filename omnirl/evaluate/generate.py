"""Greedy answers of one model to a list of rows, batch by batch, in the order of the rows.

Prompts are padded on the left; images are decoded just in time by the project's decoder; tokens that
stand for pixels are banned; the size the model saw comes from `image_grid_thw`. Knows nothing of
right answers or scores.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from omnirl.config import Params
from omnirl.evaluate.score import Answered
from omnirl.io import images
from omnirl.models import families, loading, prompts
from omnirl.schema import layout
from omnirl.schema.row import Row


class Answerer:
    """A model with its processor, ready to answer; weights are loaded with the first question."""

    def __init__(self, folder: Path, params: Params, root: Path) -> None:
        self.folder, self.params, self.images = folder, params, root / layout.RAW
        self.family = families.get(params.model.family)
        self.processor: Any = loading.load_processor(folder, params.model)
        self._model: Any = None

    def how(self) -> dict[str, Any]:
        """What the folder adds to the evaluation fingerprint: chat template and image processor."""
        settings = self.processor.image_processor.to_dict()
        kept = ("size", "patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std", "resample")
        return {
            "chat_template": self.processor.chat_template or self.processor.tokenizer.chat_template,
            "image_processor": {name: repr(settings[name]) for name in kept if name in settings},
        }

    def prompt(self, row: Row) -> str:
        """The chat-templated text the model is given."""
        return self.processor.apply_chat_template(
            prompts.messages(row, self.params.model), tokenize=False, add_generation_prompt=True
        )

    def answer(self, rows: Sequence[Row]) -> Iterator[list[Answered]]:
        """Yield the answers to each batch of `evaluate.batch_size` rows.

        Raises:
            ModelError: the weights cannot be loaded.
            DataError: an image cannot be read.
        """
        for start in range(0, len(rows), self.params.evaluate.batch_size):
            yield self._batch(rows[start : start + self.params.evaluate.batch_size])

    def _batch(self, rows: Sequence[Row]) -> list[Answered]:
        texts = [self.prompt(row) for row in rows]
        limit = self.params.validate_.max_pixels
        pictures = [images.load_image(self.images, name, max_pixels=limit) for row in rows for name in row.images]
        inputs = self.processor(text=texts, images=pictures or None, padding=True, return_tensors="pt")
        seen = families.split_by_row(families.image_sizes_seen(inputs, self.family), [len(r.images) for r in rows])
        width = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            output = self.model.generate(
                **inputs.to(self.model.device),
                do_sample=False,
                max_new_tokens=self.params.evaluate.max_new_tokens,
                suppress_tokens=self._banned(),
            )
        answers = []
        for row, text, sizes, written in zip(rows, texts, seen, output[:, width:].tolist(), strict=True):
            tokens = self._until_end(written)
            completion = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
            answers.append(Answered(row.uid, text, completion, len(tokens), tuple(sizes)))
        return answers

    @property
    def model(self) -> Any:
        """The model, in evaluation mode on the device."""
        if self._model is None:
            model: Any = loading.load_model(self.folder, self.params.model)
            settings = model.generation_config
            settings.temperature = settings.top_p = settings.top_k = None  # unused when greedy; set, they warn
            if settings.pad_token_id is None:
                settings.pad_token_id = self.processor.tokenizer.pad_token_id
            self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        return self._model

    def _banned(self) -> list[int] | None:
        vocabulary = self.processor.tokenizer.get_vocab()
        return [vocabulary[name] for name in self.family.placeholders if name in vocabulary] or None

    def _until_end(self, tokens: list[int]) -> list[int]:
        """`tokens` up to and with the first end token; what follows is padding."""
        ends = self.model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        return next((tokens[: i + 1] for i, token in enumerate(tokens) if token in ends), tokens)
