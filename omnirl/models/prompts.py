"""From a canonical row to what the model reads (chat messages) and should write (an SFT target).

The same messages serve the warm start, GRPO and evaluation, so a model is asked in one way
everywhere. Pixels are not touched here: `{"type": "image"}` marks where an image stands. No torch.
"""

from typing import Any

from omnirl import config
from omnirl.errors import ContractError
from omnirl.geometry.frames import convert_box
from omnirl.models.codec import encode_box
from omnirl.models.families import Family
from omnirl.schema.row import Row, Size

IMAGE_MARK = "<image>"
"""Where an image stands in `Row.problem`."""


def messages(row: Row, model: config.Model) -> list[dict[str, Any]]:
    """Chat messages of `row`: system prompt (if any), then the question in its template with image places.

    Raises:
        ContractError: the question has `<image>` places, but not as many as the row has images.
    """
    text = model.prompt_template.replace("{question}", row.problem)
    pieces = text.split(IMAGE_MARK)
    if len(pieces) == 1:
        places = [{"type": "image"} for _ in row.images]
        words = _text(text)
        content = [*places, *words] if model.image_position == "before" else [*words, *places]
    elif len(pieces) - 1 == len(row.images):
        content = _text(pieces[0])
        for piece in pieces[1:]:
            content += [{"type": "image"}, *_text(piece)]
    else:
        raise ContractError(
            f"{row.uid}: the question has {len(pieces) - 1} {IMAGE_MARK} places, the row has {len(row.images)} images"
        )
    system = [{"role": "system", "content": _text(model.system_prompt)}] if model.system_prompt else []
    return [*system, {"role": "user", "content": content}]


def target_text(row: Row, family: Family, resized: Size | None) -> str:
    """What an SFT step teaches the model to write for `row`.

    `<think>…</think><answer>…</answer>`, without the first block where the row has no thought;
    boxes in the frame and style of `family`.

    Args:
        row: its `bbox`, if any, may be in any frame but `resized_px`.
        family: decides how boxes are written.
        resized: size of the image `row.box_image` as the model sees it, in pixels.

    Raises:
        ContractError: a box without frame or image size.
    """
    answer = row.answer if row.bbox is None else _box_answer(row, family, resized)
    thought = "" if row.thought is None else f"<think>{row.thought}</think>"
    return f"{thought}<answer>{answer}</answer>"


def _box_answer(row: Row, family: Family, resized: Size | None) -> str:
    if row.bbox is None or row.box_frame is None or row.box_size is None:
        raise ContractError(f"{row.uid}: its box has no frame or no image size; run validate first")
    box = convert_box(row.bbox, source=row.box_frame, target="original_px", original=row.box_size)
    return encode_box(box, family, row.box_size, resized)


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []
