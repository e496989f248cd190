"""The evaluation fingerprint: equal hex = two models were asked the same, in the same way, and read the same.

Covers question set, image bytes, prompt template, extractor, box codec, pixel bounds, decoding and
thresholds. The model's weights are not part of it; their digest stands beside it.
"""

import json
from collections.abc import Sequence
from typing import Any

from omnirl.config import Params
from omnirl.errors import ContractError
from omnirl.evaluate import extract
from omnirl.io.files import sha256_bytes
from omnirl.models import families
from omnirl.schema.row import Row

VERSION = 1
"""Raise it when the meaning of a score changes without a change below."""


def fingerprint(rows: Sequence[Row], params: Params, how: dict[str, Any]) -> str:
    """Hex sha256 of everything but the weights that decides the records of one set.

    Args:
        rows: the questions in order, with `image_sha256` filled in.
        params: prompt, pixel bounds, decoding, thresholds.
        how: what the model folder brings along: chat template and image processor settings.

    Raises:
        ContractError: a row has images without sha256; run validate first.
    """
    for row in rows:
        if len(row.image_sha256) != len(row.images):
            raise ContractError(f"{row.uid}: its images have no sha256; run validate first")
    family = families.get(params.model.family)
    content = {
        "version": VERSION,
        "questions": [
            [r.uid, r.task, r.problem, r.answer, r.bbox, r.box_frame, r.box_image, r.image_sha256, r.sizes, r.cluster]
            for r in rows
        ],
        "prompt": params.model.model_dump(include={"system_prompt", "prompt_template", "image_position"}),
        "pixels": params.model.model_dump(include={"min_pixels", "max_pixels"}),
        "extractor": extract.VERSION,
        "codec": [family.name, family.frame, family.box_style, family.patch_factor],
        "decoding": {"greedy": True, "max_new_tokens": params.evaluate.max_new_tokens, "banned": family.placeholders},
        "thresholds": [params.evaluate.iou_threshold, params.evaluate.text_threshold],
        "text_weights": params.rewards.unified_accuracy.model_dump(),
        "model_folder": how,
    }
    return sha256_bytes(json.dumps(content, sort_keys=True, ensure_ascii=True).encode())
