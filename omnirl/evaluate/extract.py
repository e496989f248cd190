"""Which part of a completion is its answer, for evaluation: the answer block, else the text outside thinking.

Training asks for tags; models that were never asked (base models, other tools) answer in plain or
fenced text. Evaluation reads both, so that a missing tag is counted as `format` and not as a wrong box.
Knows nothing of boxes, numbers or rewards.
"""

from omnirl.parsing.answer import Answer, find_answer
from omnirl.parsing.layout import TAG, is_blank

VERSION = "answer-or-text@1"
"""Part of the evaluation fingerprint; raise it when the rule below changes."""


def read_answer(completion: str) -> Answer:
    """The answer of `completion`; without any answer tag, the text behind thinking; never raises.

    Example:
        >>> read_answer("<think>a</think><answer>[1, 2, 3, 4]</answer>").text
        '[1, 2, 3, 4]'
        >>> read_answer("The box is [1, 2, 3, 4].").text
        'The box is [1, 2, 3, 4].'
        >>> read_answer("<think>cut off").status
        'no_answer'
    """
    answer = find_answer(completion)
    if answer.status != "no_answer" or any("answer" in tag.group() for tag in TAG.finditer(completion)):
        return answer
    text = completion[completion.rfind("</think>") + len("</think>") :] if "</think>" in completion else completion
    text = text.partition("<think>")[0].strip()
    return answer if is_blank(text) else Answer(text, "ok")
