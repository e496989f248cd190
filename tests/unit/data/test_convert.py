"""Converters on hand-written files, hostile ones included."""

import json
import struct

import pytest

from omnirl.data.convert import CONVERTERS, convert_source, run
from omnirl.data.quarantine import Rejected
from omnirl.errors import ConfigError, DataError
from omnirl.io.files import read_json, read_jsonl, sha256_bytes
from omnirl.io.rows import read_rows
from omnirl.schema.row import Row
from tests.unit.data.support import source, with_sources, write_zip

REC = {"image": "train2014/a.jpg", "problem": "Where is the cat?", "solution": [1, 2.5, 30, 20]}
TALK = {
    "id": 1,
    "image": "train2014/a.jpg",
    "conversations": [{"from": "human", "value": "<image>Where?"}, {"from": "gpt", "value": [1, 2, 3, 4]}],
}


def talk(human="Where?", gpt="[1, 2, 3, 4]", **more):
    return {"conversations": [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}], **more}


def convert(data, src) -> list[Row | Rejected]:
    encoded = data if isinstance(data, bytes) else json.dumps(data).encode()
    return list(CONVERTERS[src.converter](encoded, src, "boxes/a.json"))


def one(data, src):
    (item,) = convert([data], src)
    return item


def code(item) -> str:
    assert isinstance(item, Rejected), item
    return item.code


TALKS = source(converter="vlmr1-conversations")
TEXT = source("text", converter="vlmr1-conversations", task="generative", reward="unified_accuracy", box_frame=None)
OMNI = source("omni", converter="omnirl", task="generative", reward="unified_accuracy", box_frame=None)
OMNI_BOX = source("omni_box", converter="omnirl")


def test_a_published_rec_row_becomes_this_row():
    published = {
        **REC,
        "normalized_solution": [1, 2, 3, 4],
        "bbox_list": [0, 1, 29, 19],
        "dataset": "refcoco_train",
    }
    data = json.dumps([published]).encode()
    assert convert(data, source()) == [
        Row(
            uid="rec_train/0",
            dataset="rec_train",
            split="train",
            task="rec",
            problem="Where is the cat?",
            answer="[1, 2.5, 30, 20]",
            reward="rec_iou",
            images=("boxes/img.zip::train2014/a.jpg",),
            bbox=(1.0, 2.5, 30.0, 20.0),
            box_frame="original_px",
            box_image=0,
            cluster="boxes/img.zip::train2014/a.jpg",
            source="boxes/a.json#0",
            source_sha256=sha256_bytes(data),
        )
    ]


def test_the_frame_of_the_source_travels_with_the_box():
    assert one(REC, source(box_frame="per_mille")).box_frame == "per_mille"


def test_images_in_a_folder_are_referenced_by_path():
    assert one(REC, source(images="boxes/folder")).images == ("boxes/folder/train2014/a.jpg",)


@pytest.mark.parametrize(
    "gpt", [[1, 2, 3, 4], "[1, 2, 3, 4]", ["[1, 2, 3, 4]"], [[1, 2, 3, 4]], "<answer>[1,2,3,4]</answer>"]
)
def test_every_published_form_of_a_box_answer_is_read(gpt):
    row = one(talk("<image>Where?", gpt, image="a.jpg"), TALKS)
    assert (row.bbox, row.answer, row.thought) == ((1.0, 2.0, 3.0, 4.0), "[1, 2, 3, 4]", None)


def test_thought_and_answer_are_taken_apart():
    row = one(talk("Say it.", "<think>cat 3</think><answer>the cat</answer>"), TEXT)
    assert (row.thought, row.answer, row.images, row.bbox, row.box_frame) == ("cat 3", "the cat", (), None, None)
    assert row.cluster == "text/0"


def test_a_plain_answer_has_no_thought():
    assert (one(talk("Say it.", " the cat "), TEXT).answer, one(talk("Say it.", "x"), TEXT).thought) == (
        "the cat",
        None,
    )


@pytest.mark.parametrize(
    ("human", "problem"),
    [
        ("<image>Where?", "Where?"),
        ("<image>\n<image>\nWhere?", "Where?"),
        ("Before <image> after <image> where?", "Before <image> after <image> where?"),
        ("<image>Before <image> after?", "<image>Before <image> after?"),
        ("Where?", "Where?"),
    ],
)
def test_leading_marks_carry_no_position_and_inner_ones_do(human, problem):
    images = ["a.jpg"] * max(1, human.count("<image>"))
    assert one(talk(human, [1, 2, 3, 4], image=images), TALKS).problem == problem


def test_the_box_of_two_images_lies_in_the_last():
    row = one(talk("<image><image>New?", [1, 2, 3, 4], image=["a.jpg", "b.jpg"]), TALKS)
    assert row.box_image == 1
    assert row.images == ("boxes/img.zip::a.jpg", "boxes/img.zip::b.jpg")
    assert row.cluster == "boxes/img.zip::a.jpg|boxes/img.zip::b.jpg"


def test_one_omnirl_file_mixes_text_one_and_many_images():
    rows = convert(
        [
            {"problem": "p", "solution": "s"},
            {"problem": "p", "solution": "s", "image": None},
            {"problem": "p", "solution": "s", "image": []},
            {"problem": "p", "solution": "s", "image": "a.jpg"},
            {"problem": "<image> or <image>?", "solution": 7, "image": ["a.jpg", "b.jpg"]},
        ],
        OMNI,
    )
    assert [len(row.images) for row in rows] == [0, 0, 0, 1, 2]
    assert rows[4].answer == "7"


def test_an_omnirl_box_is_read_from_numbers_and_from_text():
    for solution in ([1, 2, 3, 4], "[1, 2, 3, 4]", '{"bbox_2d": [1, 2, 3, 4]}'):
        assert one({"problem": "p", "solution": solution, "image": "a.jpg"}, OMNI_BOX).bbox == (1.0, 2.0, 3.0, 4.0)


def test_a_row_may_name_its_own_reward():
    row = one({**REC, "accu_reward_method": "unified_accuracy"}, source())
    assert row.reward == "unified_accuracy"
    assert one({**REC, "accu_reward_method": "iou"}, source(reward="unified_accuracy")).reward == "rec_iou"


@pytest.mark.parametrize("method", ["format", "nonsense", 3, ["rec_iou"], {}])
def test_an_unknown_reward_is_refused_by_name(method):
    item = one({**REC, "accu_reward_method": method}, source())
    assert code(item) == "unknown_reward"
    assert repr(method) in item.reason


@pytest.mark.parametrize(
    ("row", "src", "expected"),
    [
        pytest.param([1], source(), "wrong_type", id="row is a list"),
        pytest.param(None, source(), "wrong_type", id="row is null"),
        pytest.param({**REC, "image": None}, source(), "missing_field", id="rec without image"),
        pytest.param({k: v for k, v in REC.items() if k != "problem"}, source(), "missing_field", id="no problem"),
        pytest.param({k: v for k, v in REC.items() if k != "solution"}, source(), "missing_field", id="no solution"),
        pytest.param({**REC, "problem": 7}, source(), "wrong_type", id="problem is a number"),
        pytest.param({**REC, "problem": None}, source(), "wrong_type", id="problem is null"),
        pytest.param({**REC, "image": {"a": 1}}, source(), "wrong_type", id="image is an object"),
        pytest.param({**REC, "image": ["a.jpg", 3]}, source(), "wrong_type", id="image list holds a number"),
        pytest.param({**REC, "solution": [1, 2, 3]}, source(), "bad_box", id="three numbers"),
        pytest.param({**REC, "solution": [1, 2, 3, "4"]}, source(), "bad_box", id="a number as text"),
        pytest.param({**REC, "solution": [1, 2, 3, True]}, source(), "bad_box", id="true is no number"),
        pytest.param({**REC, "solution": [1, 2, 3, None]}, source(), "bad_box", id="null"),
        pytest.param({**REC, "solution": [1, 2, 3, 10**400]}, source(), "bad_box", id="too large for a float"),
        pytest.param({**REC, "solution": "the cat"}, source(), "bad_box", id="text without a box"),
        pytest.param({**REC, "solution": "[1,2,3,4] [1,2,3,5]"}, source(), "bad_box", id="two boxes"),
        pytest.param({**REC, "problem": "<image><image>?"}, source(), "image_count", id="more marks than images"),
        pytest.param({**REC, "problem": "a\0b"}, source(), "bad_text", id="NUL"),
        pytest.param({**REC, "problem": "\ud800"}, source(), "bad_text", id="half a surrogate pair"),
        pytest.param({**REC, "image": "\ud800.jpg"}, source(), "bad_image_name", id="surrogate in a name"),
        pytest.param(talk("<image>?", [1, 2, 3, 4], image=["a", "b"]), TALKS, "image_count", id="fewer marks"),
        pytest.param(talk("<image>?", [1, 2, 3, 4]), TALKS, "image_count", id="mark without image"),
        pytest.param(talk("?", ["a", "b"]), TEXT, "wrong_type", id="two answers"),
        pytest.param(talk("?", 5), TEXT, "wrong_type", id="answer is a number"),
        pytest.param(talk(["?"], "a"), TEXT, "wrong_type", id="question is a list"),
        pytest.param(talk("?", "<answer>a"), TEXT, "bad_answer", id="unclosed answer"),
        pytest.param(talk("?", "<think>a<answer>b</answer>"), TEXT, "bad_answer", id="unclosed thought"),
        pytest.param(talk("?", "<answer>a</answer><answer>b</answer>"), TEXT, "bad_answer", id="two answers blocks"),
        pytest.param(talk("?", "so <answer>a</answer>"), TEXT, "bad_answer", id="text outside"),
        pytest.param({"conversations": []}, TEXT, "bad_conversation", id="no turns"),
        pytest.param({"conversations": [1, 2]}, TEXT, "bad_conversation", id="turns are numbers"),
        pytest.param({"conversations": talk()["conversations"] * 2}, TEXT, "bad_conversation", id="four turns"),
        pytest.param({"conversations": "hello"}, TEXT, "wrong_type", id="conversations is text"),
        pytest.param({"problem": "p"}, OMNI, "missing_field", id="omnirl without solution"),
        pytest.param({"problem": "p", "solution": ["a"]}, OMNI, "wrong_type", id="omnirl list answer"),
        pytest.param({"problem": "p", "solution": None}, OMNI, "wrong_type", id="omnirl null answer"),
        pytest.param(
            {"problem": "p", "solution": "s", "image": "a.jpg"},
            source(converter="omnirl", task="generative", images=None, box_frame=None),
            "bad_image_name",
            id="image in a text-only source",
        ),
    ],
)
def test_a_row_of_another_form_is_rejected_with_its_code(row, src, expected):
    assert code(one(row, src)) == expected


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "http://127.0.0.1/a.jpg", "file:///a", "a\\b.jpg", "c:\\a.jpg", "", ".",
     "a.zip::b.jpg", "a\0.jpg", "//host/a.jpg"],
)  # fmt: skip
def test_a_hostile_image_name_is_rejected(name):
    assert code(one({**REC, "image": name}, source())) == "bad_image_name"


def test_names_in_other_scripts_and_with_blanks_are_kept():
    assert one({**REC, "image": "图 片/猫.jpg"}, source()).images == ("boxes/img.zip::图 片/猫.jpg",)


def test_bad_lines_cost_one_row_each_and_line_numbers_hold():
    lines = [
        b"\xef\xbb\xbf" + json.dumps(TALK).encode() + b"\r",
        b"",
        b'{"conversations": ',
        b'{"a": 1, "a": 2}',
        b'{"x": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(TALK).encode(),
    ]
    items = convert(b"\n".join(lines), TALKS)
    assert [item.uid for item in items if isinstance(item, Row)] == ["rec_train/0", "rec_train/7"]
    rejected = [(item.line, item.code) for item in items if isinstance(item, Rejected)]
    assert rejected == [(n, "bad_json") for n in (3, 4, 5, 6, 7)]


def test_strictness_in_an_array_costs_the_row_not_the_file():
    data = (
        b'[{"image": "a.jpg", "problem": "p", "solution": [1, 2, 3, NaN]}, {"a": 1, "a": 2}, '
        + json.dumps(REC).encode()
        + b"]"
    )
    first, second, third = convert(data, source())
    assert (first.line, first.code, first.reason) == (1, "bad_json", "NaN is not JSON")
    assert (second.code, second.row) == ("bad_json", '{"a": 1, "a": 2}')
    assert third.uid == "rec_train/2"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" + json.dumps(REC).encode() + b",]", "not JSON in row 2"),
        (b"[" + json.dumps(REC).encode(), "expected ',' or ']' behind row 1"),
        (b"[" + json.dumps(REC).encode()[:-9], "not JSON in row 1"),
        (b"[" + json.dumps(REC).encode() + b"] trailing", "text behind the end"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[\xff]", "not UTF-8 at byte 1"),
    ],
)
def test_an_array_that_breaks_off_stops_the_stage_and_names_the_place(data, said):
    with pytest.raises(DataError, match="boxes/a.json") as caught:
        convert(data, source())
    assert said in str(caught.value)


def test_a_line_of_ten_megabytes_is_read():
    row = one({**REC, "problem": "x" * 10_000_000}, source())
    assert len(row.problem) == 10_000_000


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "data/raw"
    (folder / "boxes").mkdir(parents=True)
    return folder


def test_the_stage_leaves_rows_quarantine_and_report(raw, tmp_path):
    (raw / "boxes/a.json").write_text(json.dumps([REC, {**REC, "image": "../x"}, REC]))
    write_zip(raw / "boxes/t.zip", {"t/b.jsonl": (json.dumps(talk("Say.", "yes")) + "\nbroken\n").encode()})
    text = TEXT.model_copy(update={"annotations": "boxes/t.zip::t/b.jsonl", "images": None})
    params = with_sources(source(), text)
    report = run(params, tmp_path)
    assert report == {
        "rows": 3,
        "quarantined": 2,
        "sources": {
            "rec_train": {"converter": "vlmr1-rec", "rows": 2, "quarantined": 1},
            "text": {"converter": "vlmr1-conversations", "rows": 1, "quarantined": 1},
        },
    }
    assert read_json(tmp_path / "reports/convert.json") == report
    assert [r.uid for r in read_rows(tmp_path / "data/rows/rec_train.parquet")] == ["rec_train/0", "rec_train/2"]
    first, second = read_jsonl(tmp_path / "data/convert_quarantine.jsonl")
    assert first == {
        "source": "rec_train",
        "line": 2,
        "uid": "rec_train/1",
        "code": "bad_image_name",
        "reason": "'../x' is not a plain relative image name",
        "stage": "convert",
        "row": {**REC, "image": "../x"},
    }
    assert (second["source"], second["line"], second["code"], second["row"]) == ("text", 2, "bad_json", "broken")
    assert read_rows(tmp_path / "data/rows/text.parquet")[0].source == "boxes/t.zip::t/b.jsonl#0"


def test_the_same_input_gives_the_same_bytes(raw, tmp_path):
    (raw / "boxes/a.json").write_text(json.dumps([REC] * 50))
    outputs = []
    for _ in range(2):
        run(with_sources(source()), tmp_path)
        outputs.append([p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file() and raw not in p.parents])
    assert outputs[0] == outputs[1]


def test_rows_that_no_file_can_hold_are_quarantined_all_the_same(raw, tmp_path):
    (raw / "boxes/a.json").write_text(
        json.dumps([REC, {**REC, "problem": "\ud800"}, {**REC, "solution": "x" * 10_000}])
    )
    run(with_sources(source()), tmp_path)
    first, second = read_jsonl(tmp_path / "data/convert_quarantine.jsonl")
    assert "\\ud800" in first["row"]
    assert len(second["row"]) == 4000


def test_a_failing_source_leaves_the_old_outputs(raw, tmp_path):
    (raw / "boxes/a.json").write_text(json.dumps([REC]))
    run(with_sources(source()), tmp_path)
    before = (tmp_path / "data/rows/rec_train.parquet").read_bytes()
    (raw / "boxes/b.json").write_text("[")
    with pytest.raises(DataError, match="boxes/b.json"):
        run(with_sources(source(), source("other", annotations="boxes/b.json")), tmp_path)
    assert [p.name for p in (tmp_path / "data/rows").iterdir()] == ["rec_train.parquet"]
    assert (tmp_path / "data/rows/rec_train.parquet").read_bytes() == before


def test_a_removed_source_leaves_no_old_rows_behind(raw, tmp_path):
    (raw / "boxes/a.json").write_text(json.dumps([REC]))
    run(with_sources(source(), source("other")), tmp_path)
    run(with_sources(source()), tmp_path)
    assert [p.name for p in (tmp_path / "data/rows").iterdir()] == ["rec_train.parquet"]


@pytest.mark.parametrize("content", ["[]", "", "\n\n", "{}", "[1, 2]"])
def test_a_file_without_a_usable_row_stops_the_stage(raw, content):
    (raw / "boxes/a.json").write_text(content)
    with pytest.raises(DataError, match=r"boxes/a\.json: no row could be read as vlmr1-rec"):
        convert_source(source(), raw)


def test_a_missing_file_is_named(raw):
    with pytest.raises(DataError, match=r"boxes/a\.json: no such file"):
        convert_source(source(), raw)


def test_a_source_that_contradicts_itself_is_a_configuration_error(raw):
    with pytest.raises(ConfigError, match="rec_train: 'bleu' is no accuracy reward; known: "):
        convert_source(source(reward="bleu"), raw)
    with pytest.raises(ConfigError, match="rec_train: task rec has boxes, so box_frame must say"):
        convert_source(source(box_frame=None), raw)


ARCHIVE = "boxes/a.zip::a.json"


def test_a_truncated_archive_is_refused(raw):
    write_zip(raw / "boxes/a.zip", {"a.json": json.dumps([REC] * 1000).encode()})
    whole = (raw / "boxes/a.zip").read_bytes()
    (raw / "boxes/a.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.zip: not a complete zip archive .*fetch it again"):
        convert_source(source(annotations=ARCHIVE), raw)


def test_a_member_that_leads_out_of_the_archive_is_refused(raw):
    write_zip(raw / "boxes/a.zip", {"a.json": b"[]", "../../outside.json": b"[]"})
    with pytest.raises(DataError, match="leads out of the archive"):
        convert_source(source(annotations=ARCHIVE), raw)


def test_an_encrypted_member_is_refused(raw):
    write_zip(raw / "boxes/a.zip", {"a.json": json.dumps([REC]).encode()})
    data = bytearray((raw / "boxes/a.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # general purpose flag, bit 0, in both headers
        at = data.index(mark) + offset
        data[at : at + 2] = struct.pack("<H", struct.unpack("<H", data[at : at + 2])[0] | 1)
    (raw / "boxes/a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"'a\.json' is encrypted"):
        convert_source(source(annotations=ARCHIVE), raw)


def test_a_bomb_is_refused_while_it_unpacks(raw):
    write_zip(raw / "boxes/a.zip", {"a.json": b" " * 50_000_000})
    assert (raw / "boxes/a.zip").stat().st_size < 100_000
    with pytest.raises(DataError, match="too large or a bomb"):
        convert_source(source(annotations=ARCHIVE), raw)


def test_a_missing_member_is_named(raw):
    write_zip(raw / "boxes/a.zip", {"b.json": b"[]"})
    with pytest.raises(DataError, match=r"a\.json: no such member"):
        convert_source(source(annotations=ARCHIVE), raw)


def test_an_annotation_path_that_leads_out_is_refused(raw):
    with pytest.raises(DataError, match="not a path below"):
        convert_source(source(annotations="../../secret.json"), raw)
