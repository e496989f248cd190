"""`unified_accuracy`: the weighted mean of BLEU, ROUGE and METEOR of the answer block.

OmniRL names three parts (Rb local match, Rr coverage, Rm coherence) and computes two; here are all
three. The weights come from `params.yaml: rewards.unified_accuracy`.
"""

from omnirl.config import UnifiedAccuracy
from omnirl.errors import ConfigError, ContractError
from omnirl.parsing.answer import find_answer
from omnirl.parsing.layout import is_blank
from omnirl.rewards.base import Reward
from omnirl.rewards.text_overlap import overlap, unified
from omnirl.schema.row import Row
from omnirl.schema.score import Score


def make(weights: UnifiedAccuracy) -> Reward:
    """The reward with these weights.

    Raises:
        ConfigError: all weights are 0.
    """
    if not any(weights.model_dump().values()):
        raise ConfigError("rewards.unified_accuracy: all three weights are 0, so no answer could earn anything")

    def score(completion: str, row: Row) -> Score:
        if is_blank(row.answer):
            raise ContractError("the row's own answer is empty, so nothing can match it")
        answer = find_answer(completion)
        if answer.text is None:
            return Score(0.0, answer.status)
        parts = overlap(answer.text, row.answer)
        return Score(unified(parts, weights), parts=parts._asdict())

    return Reward(
        name="unified_accuracy",
        version=1,
        low=0.0,
        high=1.0,
        reference="OmniRL accuracy_reward (Rb, Rr) with the METEOR (Rm) its README names",
        summary="Weighted mean of BLEU-2, ROUGE-1 F and METEOR (exact + stem) of the answer with the row's answer.",
        function=score,
    )
