"""What the model reads and what it is taught to write."""

import pytest

from omnirl.config import Model
from omnirl.errors import ContractError
from omnirl.models import families
from omnirl.models.prompts import messages, target_text
from omnirl.schema.row import Row, Size

IMAGE = {"type": "image"}


def model(**changes):
    base = {
        "family": "demo-tiny",
        "dtype": "float32",
        "attention": "auto",
        "system_prompt": None,
        "prompt_template": "{question}",
        "image_position": "after",
        "min_pixels": None,
        "max_pixels": None,
    }
    return Model(**(base | changes))


def row(**changes):
    base = {
        "uid": "d/1",
        "dataset": "d",
        "split": "train",
        "task": "rec",
        "problem": "where?",
        "answer": "a",
        "reward": "rec_iou",
    }
    return Row(**(base | changes))


def text(words):
    return {"type": "text", "text": words}


@pytest.mark.parametrize(
    ("changes", "settings", "content"),
    [
        pytest.param({}, {}, [text("where?")], id="text only"),
        pytest.param({"images": ("a",)}, {}, [text("where?"), IMAGE], id="image after"),
        pytest.param(
            {"images": ("a", "b")}, {"image_position": "before"}, [IMAGE, IMAGE, text("where?")], id="two images before"
        ),
        pytest.param(
            {"images": ("a", "b"), "problem": "<image>first <image>second"},
            {},
            [IMAGE, text("first "), IMAGE, text("second")],
            id="places of its own win",
        ),
        pytest.param(
            {"images": ("a",), "problem": "<image>Q"},
            {"prompt_template": "{question} Think first."},
            [IMAGE, text("Q Think first.")],
            id="template around places",
        ),
    ],
)
def test_images_stand_where_the_row_or_the_settings_say(changes, settings, content):
    assert messages(row(**changes), model(**settings)) == [{"role": "user", "content": content}]


def test_system_prompt_comes_first():
    assert messages(row(), model(system_prompt="Be brief."))[0] == {"role": "system", "content": [text("Be brief.")]}


def test_braces_in_a_question_are_left_alone():
    assert messages(row(problem="{x} {question}"), model())[0]["content"] == [text("{x} {question}")]


@pytest.mark.parametrize("problem", ["<image>", "<image><image><image>"])
def test_wrong_number_of_places_is_refused_with_the_row(problem):
    with pytest.raises(ContractError, match=r"d/1: the question has \d <image> places, the row has 2 images"):
        messages(row(problem=problem, images=("a", "b")), model())


def test_target_of_a_text_row_with_and_without_thought():
    family = families.get("demo-tiny")
    assert target_text(row(thought="t"), family, None) == "<think>t</think><answer>a</answer>"
    assert target_text(row(), family, None) == "<answer>a</answer>"


@pytest.mark.parametrize(
    ("frame", "box"),
    [
        pytest.param("original_px", (28.0, 0.0, 56.0, 28.0), id="original pixels"),
        pytest.param("per_mille", (250.0, 0.0, 500.0, 250.0), id="per mille"),
    ],
)
def test_target_box_is_written_in_the_frame_the_model_sees(frame, box):
    # 112 x 112 shown as 56 x 56: everything is halved
    found = row(bbox=box, box_frame=frame, images=("a",), sizes=(Size(112, 112),))
    assert target_text(found, families.get("demo-tiny"), Size(56, 56)) == "<answer>[14, 0, 28, 14]</answer>"
    assert (
        target_text(found, families.get("qwen2.5-vl"), Size(56, 56)) == '<answer>{"bbox_2d": [14, 0, 28, 14]}</answer>'
    )


def test_box_in_the_second_image_uses_the_size_of_the_second_image():
    sizes = (Size(10, 10), Size(112, 112))
    found = row(bbox=(28.0, 0.0, 56.0, 28.0), box_frame="original_px", images=("a", "b"), sizes=sizes, box_image=1)
    assert target_text(found, families.get("demo-tiny"), Size(56, 56)) == "<answer>[14, 0, 28, 14]</answer>"


def test_box_without_size_is_refused():
    with pytest.raises(ContractError, match="d/1: its box has no frame or no image size"):
        target_text(row(bbox=(0, 0, 1, 1), box_frame="original_px"), families.get("demo-tiny"), Size(28, 28))
