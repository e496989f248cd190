"""Find the answer of a completion: the one block that stands after the thinking.

Policy, in the order it is applied:

1. Only text outside thinking counts: from the end of the last `</think>` (or the start) to the
   next `<think>` (or the end). An answer block inside a think block is no answer; neither is one
   before the last `</think>`.
2. No complete `<answer>...</answer>` there, or only blank ones: `no_answer`. A block that was
   never closed (a truncated completion) is not complete.
3. Nested or unpaired answer tags, or several blocks with different text: `unparsable`, since
   nobody can say which one was meant. The same text twice is one answer.
"""

from typing import NamedTuple

from omnirl.parsing.layout import TAG, is_blank
from omnirl.schema.score import Status


class Answer(NamedTuple):
    """What was read; `text` is stripped and not blank when `status` is `ok`, else None."""

    text: str | None
    status: Status


NO_ANSWER = Answer(None, "no_answer")
UNPARSABLE = Answer(None, "unparsable")


def find_answer(completion: str) -> Answer:
    """The answer in `completion`, or why there is none; linear time, never raises.

    Example:
        >>> find_answer("<think>maybe <answer>1</answer></think><answer> 2 </answer>")
        Answer(text='2', status='ok')
        >>> find_answer("<answer>1</answer> <answer>2</answer>").status
        'unparsable'
    """
    region = _after_thinking(completion)
    tags = list(TAG.finditer(region))
    names = [m.group() for m in tags]
    if "<answer>" not in names or "</answer>" not in names[names.index("<answer>") :]:
        return NO_ANSWER
    if len(names) % 2 or set(names[::2]) != {"<answer>"} or set(names[1::2]) != {"</answer>"}:
        return UNPARSABLE
    blocks = (region[a.end() : b.start()].strip() for a, b in zip(tags[::2], tags[1::2], strict=True))
    texts = {block for block in blocks if not is_blank(block)}
    if not texts:
        return NO_ANSWER
    return Answer(texts.pop(), "ok") if len(texts) == 1 else UNPARSABLE


def _after_thinking(completion: str) -> str:
    """The part of `completion` behind the last `</think>` and before any `<think>` after it."""
    end = completion.rfind("</think>")
    start = 0 if end < 0 else end + len("</think>")
    again = completion.find("<think>", start)
    return completion[start:] if again < 0 else completion[start:again]
