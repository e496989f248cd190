"""VLM-R1's conversations: JSON lines of `{"image", "conversations": [{"from": "human"}, {"from": "gpt"}]}`.

`image` is a string, a list or absent; the value of `gpt` is a string, a list of one string, or the box
itself. `<image>` marks at the very start of the question carry no position (the publishers' trainers
drop them and put the images where they put all images), so they are taken off and
`model.image_position` decides; marks inside the question stay where they are. A row may name its own
`accu_reward_method`.
"""

from collections.abc import Iterator
from typing import Any

from omnirl.config import Source
from omnirl.data.convert.reading import (
    BadRow,
    Parts,
    box_of,
    box_text,
    convert_rows,
    field,
    image_names,
    reward_of,
    split_thought,
)
from omnirl.data.quarantine import Rejected
from omnirl.data.terms import BOX_TASKS, IMAGE_MARK
from omnirl.schema.row import Row


def convert(data: bytes, source: Source, where: str) -> Iterator[Row | Rejected]:
    """Rows of `data`; raises `DataError` when the file cannot be read to its end."""
    return convert_rows(data, source, where, _read)


def _read(item: dict[str, Any], source: Source) -> Parts:
    images = image_names(item, required=False)
    human, gpt = _turns(field(item, "conversations", list))
    if not isinstance(human, str):
        raise BadRow("wrong_type", f"the human turn is {type(human).__name__}, not text")
    marks = human.count(IMAGE_MARK)
    if marks not in (0, len(images)):
        raise BadRow("image_count", f"{marks} {IMAGE_MARK} places for {len(images)} images")
    question, reward = _without_leading_marks(human, marks), reward_of(item, source)
    if isinstance(gpt, list) and len(gpt) == 1 and isinstance(gpt[0], str):
        gpt = gpt[0]
    thought, answer = split_thought(gpt) if isinstance(gpt, str) else (None, gpt)
    if source.task in BOX_TASKS:
        box = box_of(answer, "gpt")
        return Parts(images, question, box_text(box), reward, box, thought)
    if not isinstance(answer, str):
        raise BadRow("wrong_type", f"the gpt turn is {type(answer).__name__}, not text")
    return Parts(images, question, answer, reward, None, thought)


def _turns(conversation: list[Any]) -> tuple[Any, Any]:
    """Values of the one question and the one answer."""
    speakers = [turn.get("from") if isinstance(turn, dict) else None for turn in conversation]
    if speakers != ["human", "gpt"]:
        raise BadRow("bad_conversation", f"expected the turns human, gpt; found {speakers[:6]}")
    human, gpt = conversation
    return field(human, "value", (str, list)), field(gpt, "value", (str, list))


def _without_leading_marks(question: str, marks: int) -> str:
    rest, taken = question.lstrip(), 0
    while rest.startswith(IMAGE_MARK):
        rest, taken = rest[len(IMAGE_MARK) :].lstrip(), taken + 1
    return rest if taken and taken == marks else question
