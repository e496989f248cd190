"""`rec_iou`: how well the one box of the answer covers the row's box.

The prediction is moved from the frame the model writes (`row.answer_frame`) to the frame of the row
(`row.box_frame`) before the two are compared; IoU is continuous, in any unit. Knows nothing of
model families or processors: `row.seen_by` brings what is needed.
"""

from omnirl.errors import ContractError
from omnirl.geometry.frames import convert_box, is_box
from omnirl.geometry.iou import iou
from omnirl.parsing.answer import find_answer
from omnirl.parsing.boxes import find_box
from omnirl.rewards.base import Reward
from omnirl.schema.row import Box, Row
from omnirl.schema.score import Score


def score(completion: str, row: Row) -> Score:
    """IoU in 0..1 of the answer's box with `row.bbox`.

    0.0 and `unparsable` when the answer holds no box, several different ones, or one that is not
    finite, inverted or empty; `not_applicable` on rows without a box, unless their task is `rec`.

    Raises:
        ContractError: a `rec` row without a box, an unknown answer frame, or a missing image size.
    """
    if row.bbox is None:
        if row.task == "rec":
            raise ContractError("a rec row needs bbox and box_frame; validate quarantines rows without")
        return Score(0.0, "not_applicable")
    answer = find_answer(completion)
    if answer.text is None:
        return Score(0.0, answer.status)
    found = find_box(answer.text)
    box = None if found is None else _in_row_frame(found, row)
    if box is None or not is_box(box):
        return Score(0.0, "unparsable")
    return Score(iou(box, row.bbox))


def _in_row_frame(box: Box, row: Row) -> Box:
    """`box`, written by the model, in `row.box_frame`."""
    if row.answer_frame is None or row.box_frame is None:
        raise ContractError("box_frame and answer_frame must both be known; use row.seen_by(frame, resized)")
    if row.answer_frame == row.box_frame:
        return box
    if row.box_size is None:
        raise ContractError(f"{row.answer_frame} -> {row.box_frame} needs the size of image {row.box_image}")
    return convert_box(box, source=row.answer_frame, target=row.box_frame, original=row.box_size, resized=row.resized)


REC_IOU = Reward(
    name="rec_iou",
    version=1,
    low=0.0,
    high=1.0,
    reference="VLM-R1 iou_reward (arXiv 2504.07615), mended",
    summary="IoU of the one box in the answer with the true box, after moving it to the true box's frame.",
    function=score,
)
