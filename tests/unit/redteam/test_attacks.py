"""Each attack is what its name says, and the honest answer earns everything there is."""

import re
from random import Random

import pytest

from omnirl.errors import ContractError
from omnirl.parsing.answer import find_answer
from omnirl.parsing.boxes import find_boxes
from omnirl.parsing.layout import is_well_formed
from omnirl.redteam.attacks import ATTACKS, GRID, PADDING, honest, write_box
from omnirl.rewards import get
from omnirl.schema.row import Row, Size

BOX_ROW = Row(
    uid="rec/1", dataset="rec", split="train", task="rec", problem="<image>where is the cat?",
    answer="[100, 50.5, 300, 200]", reward="rec_iou", images=("a.png",), sizes=(Size(640, 480),),
    bbox=(100, 50.5, 300, 200), box_frame="original_px",
).seen_by("original_px", None)  # fmt: skip
TEXT_ROW = Row(
    uid="text/1", dataset="text", split="train", task="generative", problem="cat, mat", answer="the cat is on the mat",
    reward="unified_accuracy",
)  # fmt: skip


@pytest.mark.parametrize("row", [BOX_ROW, TEXT_ROW], ids=["box", "text"])
def test_honest_answer_is_worth_the_maximum(row):
    assert get(row.reward)(honest(row), row).value == 1.0
    assert get("format")(honest(row), row).value == 1.0


def test_honest_box_is_written_in_the_frame_the_model_answers_in():
    row = BOX_ROW.seen_by("per_mille", None)
    assert find_answer(honest(row)).text == "[156.25, 105.20833333333333, 468.75, 416.6666666666667]"
    assert get("rec_iou")(honest(row), row).value == pytest.approx(1.0, abs=1e-12)


def test_honest_box_without_a_known_frame_is_an_error():
    with pytest.raises(ContractError, match=r"row rec/1: .*use row.seen_by"):
        honest(BOX_ROW.model_copy(update={"answer_frame": None}))
    with pytest.raises(ContractError, match="size of image 0 is not known"):
        honest(BOX_ROW.model_copy(update={"answer_frame": "per_mille", "sizes": ()}))


@pytest.mark.parametrize("row", [BOX_ROW, TEXT_ROW], ids=["box", "text"])
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack_depends_on_row_and_seed_alone(name, row):
    assert ATTACKS[name](row, Random(3)) == ATTACKS[name](row, Random(3))


def test_attacks_do_what_their_names_say():
    made = {name: attack(BOX_ROW, Random(1)) for name, attack in ATTACKS.items()}
    assert made["empty"] == ""
    assert find_answer(made["prompt_echo"]).text == "where is the cat?"
    assert re.fullmatch(r"(</?(think|answer)>){20,}", made["tag_spam"])
    grid = find_boxes(made["box_grid"])
    assert len(grid) == GRID**2
    assert (min(b[0] for b in grid), max(b[2] for b in grid), max(b[3] for b in grid)) == (0, 640, 480)
    assert set(find_boxes(made["duplicate_boxes"])) == {(0, 0, 640, 480)}
    assert len(find_boxes(made["duplicate_boxes"])) > 10
    assert len(find_answer(made["padding"]).text) > PADDING
    assert find_boxes(made["padding"]) == [(300, 200, 500, 349.5)]


@pytest.mark.parametrize("name", ["prompt_echo", "box_grid", "duplicate_boxes", "padding"])
def test_attacks_that_claim_the_layout_have_it(name):
    assert is_well_formed(ATTACKS[name](BOX_ROW, Random(1)))


def test_boxes_are_written_without_loss():
    assert write_box((1.0, 2.5, 0.1, 4.0)) == "[1, 2.5, 0.1, 4]"
