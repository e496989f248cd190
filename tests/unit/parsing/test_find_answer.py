"""The answer block: where it counts, and when there is none."""

import pytest

from omnirl.parsing.answer import Answer, find_answer


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        pytest.param("<think>t</think><answer> 42 </answer>", Answer("42", "ok"), id="plain"),
        pytest.param("<answer>42</answer>", Answer("42", "ok"), id="no-think-block"),
        pytest.param("t</think><answer>a\nb</answer>", Answer("a\nb", "ok"), id="think-opened-by-the-prompt"),
        pytest.param("<think><answer>1</answer></think><answer>2</answer>", Answer("2", "ok"), id="first-in-think"),
        pytest.param("<think><answer>1</answer></think>", Answer(None, "no_answer"), id="only-in-think"),
        pytest.param("<answer>1</answer><think>t</think>", Answer(None, "no_answer"), id="before-think"),
        pytest.param("<think><answer>1</answer>", Answer(None, "no_answer"), id="think-never-closed"),
        pytest.param("<think>t</think><answer>4", Answer(None, "no_answer"), id="truncated"),
        pytest.param("<think>t</think>42", Answer(None, "no_answer"), id="no-tags"),
        pytest.param("</answer>", Answer(None, "no_answer"), id="only-closed"),
        pytest.param("</answer>1<answer>", Answer(None, "no_answer"), id="wrong-way-round"),
        pytest.param("<answer></answer>", Answer(None, "no_answer"), id="empty"),
        pytest.param("<answer> \u200b\0</answer>", Answer(None, "no_answer"), id="nothing-visible"),
        pytest.param("<answer>1</answer><answer>2</answer>", Answer(None, "unparsable"), id="two-different"),
        pytest.param("<answer>1</answer><answer> 1</answer>", Answer("1", "ok"), id="the-same-twice"),
        pytest.param("<answer>1</answer><answer>2", Answer(None, "unparsable"), id="second-truncated"),
        pytest.param("<answer><answer>1</answer></answer>", Answer(None, "unparsable"), id="nested"),
        pytest.param("<ANSWER>1</ANSWER>", Answer(None, "no_answer"), id="upper-case"),
        pytest.param("<answer >1</answer >", Answer(None, "no_answer"), id="space-in-tag"),
        pytest.param("", Answer(None, "no_answer"), id="nothing"),
    ],
)
def test_answer_is_the_one_block_after_thinking(completion, expected):
    assert find_answer(completion) == expected
