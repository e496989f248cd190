"""`format`: one think block, then one answer block, and nothing else.

Says nothing about the answer itself: whoever has only the layout gets this reward in full, which
is why the red team judges the weighted sum.
"""

from omnirl.parsing.layout import is_well_formed
from omnirl.rewards.base import Reward
from omnirl.schema.row import Row
from omnirl.schema.score import Score


def score(completion: str, row: Row) -> Score:
    """1.0 when `completion` is well formed, else 0.0; `row` plays no part."""
    return Score(1.0 if is_well_formed(completion) else 0.0)


FORMAT = Reward(
    name="format",
    version=1,
    low=0.0,
    high=1.0,
    reference="OmniRL and VLM-R1 format_reward, with a strict grammar",
    summary="1 for exactly one think block followed by exactly one answer block, neither blank; else 0.",
    function=score,
)
