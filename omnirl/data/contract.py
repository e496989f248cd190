"""The contract of one row: text, images, box. The first broken promise decides its code.

Works on a row and on what is known of its images; opens nothing. Codes are explained in
`omnirl.data.validate`.
"""

from collections.abc import Callable, Mapping

from omnirl.data.image_check import ImageFacts
from omnirl.data.quarantine import Problem
from omnirl.data.terms import BOX_TASKS, IMAGE_MARK
from omnirl.geometry.frames import convert_box, is_box
from omnirl.schema.row import Row, Size

PLACEHOLDERS = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<IMG_CONTEXT>",
    "<img>",
    "</img>",
    "<|image|>",
    "<|video|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<image_soft_token>",
    "<start_of_image>",
    "<end_of_image>",
    "<video>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
)
"""Tokens that processors and chat templates of the model families give a meaning of their own."""

Images = Mapping[str, ImageFacts | Problem]


def check_row(row: Row, images: Images, *, tolerance: float) -> Row | Problem:
    """The row with `image_sha256` and `sizes` filled in, or what is wrong with it.

    Args:
        row: as a converter wrote it.
        images: facts or problem of each reference.
        tolerance: how far a box may reach over the edge of its image, in original pixels.
    """
    for check in _TEXT_CHECKS:
        if problem := check(row):
            return problem
    facts: list[ImageFacts] = []
    for reference in row.images:
        known = images[reference]
        if isinstance(known, Problem):
            return known
        facts.append(known)
    filled = row.model_copy(
        update={"image_sha256": tuple(f.sha256 for f in facts), "sizes": tuple(f.size for f in facts)}
    )
    return _check_box(filled, tolerance) or filled


def _empty(row: Row) -> Problem | None:
    if not row.problem.replace(IMAGE_MARK, "").strip():
        return Problem("empty_question", "the question holds no text")
    if not row.answer.strip():
        return Problem("empty_answer", "the answer holds no text")
    return None


def _marks(row: Row) -> Problem | None:
    marks = row.problem.count(IMAGE_MARK)
    if marks not in (0, len(row.images)):
        return Problem("image_count", f"{marks} {IMAGE_MARK} places for {len(row.images)} images")
    if row.task in BOX_TASKS and not row.images:
        return Problem("image_count", f"task {row.task} needs an image, the row has none")
    return None


def _placeholder(row: Row) -> Problem | None:
    fields = {"problem": row.problem.replace(IMAGE_MARK, ""), "answer": row.answer, "thought": row.thought or ""}
    for name, text in fields.items():
        if "<" not in text:
            continue
        for token in (*PLACEHOLDERS, IMAGE_MARK):
            if token in text:
                return Problem("placeholder", f"{name} holds the model's own token {token}")
    return None


_TEXT_CHECKS: tuple[Callable[[Row], Problem | None], ...] = (_empty, _marks, _placeholder)


def _check_box(row: Row, tolerance: float) -> Problem | None:
    if row.bbox is None:
        return Problem("no_box", f"task {row.task} needs a box") if row.task in BOX_TASKS else None
    if row.box_frame not in ("original_px", "per_mille"):
        why = "not stated" if row.box_frame is None else "resized_px, whose image size no file tells"
        return Problem("no_frame", f"the frame of the box is {why}; use original_px or per_mille")
    if row.box_size is None:
        return Problem("box_image", f"box_image is {row.box_image}, the row has {len(row.images)} images")
    return _check_corners(row, row.box_size, tolerance)


def _check_corners(row: Row, size: Size, tolerance: float) -> Problem | None:
    x1, y1, x2, y2 = row.bbox or (0.0, 0.0, 0.0, 0.0)
    text = f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] ({row.box_frame})"
    if not all(abs(v) < float("inf") for v in (x1, y1, x2, y2)):
        return Problem("box_not_finite", f"the box {text} is not finite")
    if not is_box((x1, y1, x2, y2)):
        return Problem("box_inverted", f"the box {text} is inverted or empty")
    box = convert_box((x1, y1, x2, y2), source=row.box_frame or "original_px", target="original_px", original=size)
    if not is_box(box, extent=size, tolerance=tolerance):
        return Problem("box_outside", f"the box {text} reaches out of its image of {size.width}x{size.height} px")
    return None
