import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnirl.errors import DataError
from omnirl.evaluate.found_frame import find
from omnirl.evaluate.import_recorded import as_box, read_recorded
from omnirl.evaluate.rescore import rescore, said_box, said_number
from omnirl.io import files
from omnirl.schema.record import EvalRecord

BOX_ROW = {
    "question": "where?",
    "ground_truth": [10.5, 20.0, 110.0, 220.0],
    "model_output": "[11, 21, 111, 219]",
    "extracted_answer": None,
}


def written(path, rows, **extra):
    files.write_json(path, {**extra, "results": rows})
    return path


def geometry(output, truth="140°", **extra):
    question = {"image_path": "a/1.png", "question": "Find the angle.", "ground_truth": truth}
    return {"question": question, "ground_truth": truth, "model_output": output, "extracted_answer": None, **extra}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([], "empty", id="no rows"),
        pytest.param([1], "expected an object", id="row is no object"),
        pytest.param([{"question": "q", "ground_truth": 1}], "model_output is missing", id="field missing"),
        pytest.param([{**BOX_ROW, "model_output": None}], "expected text", id="output is null"),
        pytest.param([{**BOX_ROW, "question": 3}], "question", id="question is a number"),
        pytest.param([{**BOX_ROW, "ground_truth": [1, 2, 3]}], "neither a box", id="three numbers"),
        pytest.param([{**BOX_ROW, "ground_truth": [5, 5, 5, 9]}], "no box", id="empty box"),
        pytest.param([{**BOX_ROW, "ground_truth": True}], "neither a box", id="truth is a bool"),
        pytest.param([BOX_ROW, {**BOX_ROW, "ground_truth": 4}], "different forms", id="mixed forms"),
    ],
)
def test_an_unusable_file_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        read_recorded(written(tmp_path / "run.json", content))
    assert "run.json" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"a": 1}', "3", '{"results": {}}', '{"results": [{}]}'])
def test_a_file_that_is_no_recorded_run_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError):
        read_recorded(tmp_path / "run.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="none.json"):
        read_recorded(tmp_path / "none.json")


def test_the_image_folder_is_not_part_of_a_questions_identity(tmp_path):
    rows = [geometry("140°")], [geometry("140°")]
    rows[1][0]["question"]["image_path"] = "other/folder/1.png"
    uids = [read_recorded(written(tmp_path / f"{i}.json", r)).questions[0].uid for i, r in enumerate(rows)]
    assert uids[0] == uids[1]


def test_equal_questions_are_numbered(tmp_path):
    questions = read_recorded(written(tmp_path / "run.json", [BOX_ROW, BOX_ROW])).questions
    assert [q.uid.rsplit("#", 1)[1] for q in questions] == ["1", "2"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]\n```', (1, 2, 3, 4), id="fenced json"),
        pytest.param("<think>[9, 9, 9, 9]</think><answer>[1, 2, 3, 4]</answer>", (1, 2, 3, 4), id="answer block"),
        pytest.param("[5, 6, 7, 8] or rather [1, 2, 3, 4]", (1, 2, 3, 4), id="the last in plain text"),
        pytest.param("<|box_start|>(1,2),(3,4)<|box_end|>", (1, 2, 3, 4), id="two places"),
        pytest.param("<answer>[1, 2, 3, 4] [5, 6, 7, 8]</answer>", None, id="two different boxes in the answer"),
        pytest.param("<answer>left</answer>", None, id="no box in the answer"),
        pytest.param("<think>[1, 2, 3, 4]", None, id="only thoughts"),
        pytest.param("[1e999, 2, 3, 4] [1, 2, 3, 1e300]", None, id="no coordinates"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_box_is_read_from_the_answer(output, expected):
    assert said_box(output)[0] == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("<answer> 10 </answer>", 10),
        ("<answer>4</answer>", 4),
        ("I count 4 of them.", 4),
        ("<answer>A. 8</answer>", None),
        ("between 3 and 4", None),
        ("<think>1 2</think>7", 7),
        ("none", None),
    ],
)
def test_the_number_is_read_from_the_answer(output, expected):
    assert said_number(output)[0] == expected


def test_geometry_is_decided_by_our_parser_where_it_can_and_by_the_publisher_elsewhere(tmp_path):
    rows = [
        geometry("<answer>140</answer>", is_correct=True),
        geometry("<answer>40°</answer>", is_correct=False),
        geometry("<answer>140 degrees</answer>", is_correct=False),  # the publisher is wrong here
        geometry("<answer>so angle B is 140°</answer>", is_correct=True),
        geometry("<think>140", is_correct=False),
        geometry("<answer>$2\\sqrt{3}$cm</answer>", truth="2√3", is_correct=True),
    ]
    result = rescore(written(tmp_path / "geo.json", rows))
    assert [r.correct for r in result.records] == [True, False, True, True, False, True]
    assert result.decided == {"parser": 5, "publisher": 1}
    assert result.unparsable == 1
    assert any("says otherwise" in note and "1" in note for note in result.notes)


def test_a_single_right_box_is_enough_and_a_single_wrong_one_is_not(tmp_path):
    right = rescore(written(tmp_path / "a.json", [BOX_ROW]))
    assert (right.accuracy, right.frame, right.refused) == (1.0, "original_px", None)
    wrong = rescore(written(tmp_path / "b.json", [{**BOX_ROW, "model_output": "[400, 300, 500, 390]"}]))
    assert wrong.accuracy is None
    assert "common frame" in wrong.refused


def test_unreadable_answers_are_wrong_but_counted_apart(tmp_path):
    rows = [{**BOX_ROW, "question": str(i)} for i in range(9)] + [{**BOX_ROW, "model_output": "no idea"}]
    result = rescore(written(tmp_path / "run.json", rows))
    assert (result.accuracy, result.unparsable) == (0.9, 1)


def test_boxes_that_only_the_publisher_could_read_are_refused(tmp_path):
    rows = [{**BOX_ROW, "model_output": "x1=11 y1=21 x2=111 y2=219", "extracted_answer": [11, 21, 111, 219]}]
    assert "none can be read" in rescore(written(tmp_path / "run.json", rows)).refused


def test_fractions_of_the_image_are_unparsable_not_wrong(tmp_path):
    rows = [{**BOX_ROW, "question": str(i)} for i in range(9)] + [{**BOX_ROW, "model_output": "[0.1, 0.2, 0.3, 0.4]"}]
    result = rescore(written(tmp_path / "run.json", rows))
    assert (result.accuracy, result.unparsable) == (0.9, 1)


def test_own_records_keep_their_judgement(tmp_path):
    record = EvalRecord(
        uid="a/1", set="s", task="rec", cluster="c", prompt="p", completion="[1,2,3,4]", parsed="[1,2,3,4]",
        status="ok", correct=True, scores={"iou": 0.9}, tokens=5,
    )  # fmt: skip
    other = record.model_copy(update={"uid": "a/2", "correct": False, "status": "no_answer"})
    files.write_jsonl(tmp_path / "set.jsonl", [record.model_dump(), other.model_dump()])
    result = rescore(tmp_path / "set.jsonl")
    assert (result.n, result.accuracy, result.unparsable, result.frame) == (2, 0.5, 1, "original_px")


@given(
    st.lists(
        st.tuples(
            st.one_of(st.text(max_size=30), st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4).map(str)),
            st.one_of(st.none(), st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4), st.text(max_size=5)),
            st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(101, 1e6), st.floats(101, 1e6)),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_recorded_rows_break_the_search_for_a_frame(rows):
    said, extracted, truths = zip(*rows, strict=True)
    found = find(truths, [said_box(text)[0] for text in said], [as_box(e) for e in extracted])
    assert (found.refused is None) == (len(found.boxes) == len(rows))
