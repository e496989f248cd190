"""The four tags of a completion and the one layout that counts as well formed.

A tag is exactly `<think>`, `</think>`, `<answer>` or `</answer>`: lower case, no spaces. Every
search is for fixed words, so time grows linearly with the text. Knows nothing of what an
answer means.
"""

import re

import regex

TAG = re.compile(r"</?(?:think|answer)>")
_VISIBLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}]")
_WELL_FORMED = ["<think>", "</think>", "<answer>", "</answer>"]


def is_blank(text: str) -> bool:
    """Whether `text` shows nothing: only white space, control and zero-width characters.

    Example:
        >>> is_blank(" "), is_blank(" .")
        (True, False)
    """
    return _VISIBLE.search(text) is None


def is_well_formed(completion: str) -> bool:
    """Whether `completion` is one think block, then one answer block, both not blank, and nothing else.

    White space may stand before, between and after the blocks; no tag may stand inside a block.

    Example:
        >>> is_well_formed("<think>two cats</think> <answer>2</answer>")
        True
        >>> is_well_formed("Sure! <think>two cats</think><answer>2</answer>")
        False
    """
    found = []
    for match in TAG.finditer(completion):
        found.append(match)
        if len(found) > len(_WELL_FORMED):
            return False
    if [m.group() for m in found] != _WELL_FORMED:
        return False
    think, think_end, answer, answer_end = found
    outside = (
        completion[: think.start()],
        completion[think_end.end() : answer.start()],
        completion[answer_end.end() :],
    )
    if any(part and not part.isspace() for part in outside):
        return False
    thought, content = completion[think.end() : think_end.start()], completion[answer.end() : answer_end.start()]
    return not is_blank(thought) and not is_blank(content)
