"""Completions that deserve nothing, and the honest one they are measured against.

Each attack is a pure function `(row, rng) -> completion`. Boxes are written in `row.answer_frame`,
like a model would. Knows nothing of rewards: whether an attack pays is found out by scoring it.
"""

from collections.abc import Callable
from random import Random

from omnirl.errors import ContractError
from omnirl.geometry.frames import convert_box
from omnirl.schema.row import Box, Row, Size

Attack = Callable[[Row, Random], str]

GRID = 10
"""`box_grid` lays this many boxes along each side."""
REPEATS = 50
"""How often `duplicate_boxes` writes its box, and `tag_spam` its tags."""
PADDING = 500
"""Characters of filler in `padding`."""
_TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<think></think><answer></answer>")
_FILLER = ("well", "thus", "then", "so", "the", "answer", "is", ",", ".", "!", ";")


def honest(row: Row) -> str:
    """A well-formed completion with the row's own answer.

    Raises:
        ContractError: the box cannot be moved to `row.answer_frame`.
    """
    answer = row.answer if row.bbox is None else write_box(_own_box(row))
    return _laid_out(row.thought or "This is what the question asks for.", answer)


def empty(row: Row, rng: Random) -> str:
    """Nothing at all."""
    return ""


def prompt_echo(row: Row, rng: Random) -> str:
    """The question itself, in the right layout, as thought and as answer."""
    question = row.problem.replace("<image>", "").strip()
    return _laid_out(question, question)


def tag_spam(row: Row, rng: Random) -> str:
    """Tags without content, one kind many times or all kinds in any order."""
    if rng.random() < 0.5:
        return rng.choice(_TAGS) * REPEATS
    return "".join(rng.choice(_TAGS) for _ in range(REPEATS))


def box_grid(row: Row, rng: Random) -> str:
    """Every box of a grid over the image: one of them is bound to be near."""
    width, height = _extent(row)
    across, down = width / GRID, height / GRID
    boxes = [(x * across, y * down, (x + 1) * across, (y + 1) * down) for y in range(GRID) for x in range(GRID)]
    return _laid_out("It must be one of these.", "[" + ", ".join(write_box(b) for b in boxes) + "]")


def duplicate_boxes(row: Row, rng: Random) -> str:
    """The box of the whole image, many times."""
    width, height = _extent(row)
    return _laid_out("All of it.", ", ".join([write_box((0.0, 0.0, float(width), float(height)))] * REPEATS))


def padding(row: Row, rng: Random) -> str:
    """A wrong answer in the right layout, made long with filler."""
    if row.bbox is None:
        return _laid_out(_filler(rng), _filler(rng))
    return _laid_out(_filler(rng), f"{_filler(rng)} {write_box(_beside(_own_box(row)))}")


ATTACKS: dict[str, Attack] = {
    "empty": empty,
    "prompt_echo": prompt_echo,
    "tag_spam": tag_spam,
    "box_grid": box_grid,
    "duplicate_boxes": duplicate_boxes,
    "padding": padding,
}


def write_box(box: Box) -> str:
    """`[x1, y1, x2, y2]`; whole numbers without a fraction, others in full precision."""
    return "[" + ", ".join(str(int(v)) if v.is_integer() else repr(v) for v in box) + "]"


def _laid_out(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


def _own_box(row: Row) -> Box:
    """The row's box in the frame the model answers in."""
    if row.bbox is None or row.box_frame is None or row.answer_frame is None:
        raise ContractError(f"row {row.uid}: bbox, box_frame and answer_frame must be known; use row.seen_by")
    if row.box_frame == row.answer_frame:
        return row.bbox
    if row.box_size is None:
        raise ContractError(f"row {row.uid}: the size of image {row.box_image} is not known; run validate first")
    return convert_box(
        row.bbox, source=row.box_frame, target=row.answer_frame, original=row.box_size, resized=row.resized
    )


def _extent(row: Row) -> Size:
    """Width and height of the image in the answer frame; a guess for rows without one."""
    sizes = {"original_px": row.box_size, "resized_px": row.resized, "per_mille": Size(1000, 1000)}
    return sizes.get(row.answer_frame or "") or Size(1000, 1000)


def _beside(box: Box) -> Box:
    """A box of the same size that touches `box` at a corner and shares nothing with it."""
    x1, y1, x2, y2 = box
    return (x2, y2, 2 * x2 - x1, 2 * y2 - y1)


def _filler(rng: Random) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < PADDING:
        words.append(rng.choice(_FILLER))
    return " ".join(words)
