"""The data contract, code by code, on real files."""

import functools
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from omnirl.data import convert, validate
from omnirl.errors import DataError, QuarantineError
from omnirl.io import files
from omnirl.io.archives import zip_bytes
from omnirl.io.rows import read_rows, write_rows
from omnirl.schema.row import Row, Size
from tests.unit.data.support import DEMO, png, source, with_sources

IMAGE = "boxes/img.zip::a.png"
OTHER = "boxes/img.zip::b.png"
TEXT = source("text", converter="omnirl", task="generative", reward="unified_accuracy", images=None, box_frame=None)
LIMITS = DEMO.validate_.model_copy(update={"max_quarantine_fraction": 1.0, "max_pixels": 100_000})


def row(index: int = 0, dataset: str = "rec_train", **change) -> Row:
    base = {
        "uid": f"{dataset}/{index}",
        "dataset": dataset,
        "split": "train",
        "task": "rec",
        "problem": f"Where is thing {index}?",
        "answer": "[1, 2, 30, 20]",
        "reward": "rec_iou",
        "images": (IMAGE,),
        "bbox": (1.0, 2.0, 30.0, 20.0),
        "box_frame": "original_px",
        "source": f"boxes/a.json#{index}",
    }
    return Row(**{**base, **change})


def text_row(index: int = 0, dataset: str = "text", **change) -> Row:
    plain = {"task": "generative", "reward": "unified_accuracy", "images": (), "bbox": None, "box_frame": None}
    return row(index, dataset, **{"answer": "the cat", **plain, **change})


def jpeg(size=(40, 30), orientation: int | None = None) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size, (9, 9, 9)).save(out, "JPEG", exif=exif)
    return out.getvalue()


@functools.cache
def archive() -> bytes:
    """Sound and unsound pictures in one zip."""
    animated = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (n, n, n)) for n in (0, 255)]
    frames[0].save(animated, "WEBP", save_all=True, append_images=frames[1:])
    members = {
        "a.png": png(),
        "b.png": png((200, 0, 0)),
        "same.png": png(),
        "turned.jpg": jpeg((40, 30), orientation=6),
        "cut.jpg": jpeg((300, 200))[:-300],
        "text.png": b"not a picture",
        "empty.png": b"",
        "animated.webp": animated.getvalue(),
        "wide.png": png(size=(20_000, 1)),
        "huge.png": png(size=(400, 300)),
        "bomb.png": b"\x89PNG" + b"\0" * 3_000_000,
        "grey16.png": _png_of("I;16", (40, 30)),
        "palette.png": _png_of("P", (40, 30)),
        "cmyk.jpg": _jpeg_of("CMYK", (40, 30)),
    }
    return zip_bytes(members)


@pytest.fixture
def raw(tmp_path) -> Path:
    folder = tmp_path / "data/raw"
    (folder / "boxes/folder").mkdir(parents=True)
    (folder / "boxes/img.zip").write_bytes(archive())
    (folder / "boxes/folder/c.png").write_bytes(png((0, 0, 77)))
    return folder


def _png_of(mode: str, size) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    return out.getvalue()


def _jpeg_of(mode: str, size) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "JPEG")
    return out.getvalue()


def check(raw: Path, *rows: Row):
    """(valid rows, {uid: code})."""
    valid, broken = validate.check_rows({"set": rows}, raw, LIMITS)
    return valid["set"], {r.uid: problem.code for r, problem in broken["set"]}


def code(raw: Path, one: Row) -> str:
    valid, broken = check(raw, one)
    return "valid" if valid else broken[one.uid]


def test_sha256_and_size_of_each_image_are_filled_in(raw):
    (filled,), broken = check(raw, row(images=(IMAGE, "boxes/folder/c.png"), box_image=1))
    assert broken == {}
    assert filled.sizes == (Size(40, 30), Size(40, 30))
    assert filled.image_sha256 == (files.sha256_bytes(png()), files.sha256_bytes(png((0, 0, 77))))


def test_sizes_are_those_of_the_upright_image(raw):
    (filled,), _ = check(raw, row(images=("boxes/img.zip::turned.jpg",), bbox=(1.0, 2.0, 30.0, 40.0)))
    assert filled.sizes == (Size(30, 40),)


@pytest.mark.parametrize("name", ["grey16.png", "palette.png", "cmyk.jpg", "wide.png"])
def test_unusual_but_sound_images_pass(raw, name):
    assert code(raw, row(images=(f"boxes/img.zip::{name}",), bbox=(0.0, 0.0, 1.0, 1.0))) == "valid"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"problem": " \n"}, "empty_question"),
        ({"problem": "<image>"}, "empty_question"),
        ({"answer": ""}, "empty_answer"),
        ({"problem": "<image><image>?"}, "image_count"),
        ({"images": ()}, "image_count"),
        ({"problem": "a <|image_pad|> b"}, "placeholder"),
        ({"problem": "a <|vision_start|> b"}, "placeholder"),
        ({"problem": "<IMG_CONTEXT>?"}, "placeholder"),
        ({"problem": "<|im_end|>\n<|im_start|>system"}, "placeholder"),
        ({"answer": "<|image_pad|>"}, "placeholder"),
        ({"answer": "<image>"}, "placeholder"),
        ({"thought": "see <|video_pad|>"}, "placeholder"),
        ({"images": ("boxes/img.zip::gone.png",)}, "missing_image"),
        ({"images": ("boxes/folder/gone.png",)}, "missing_image"),
        ({"images": ("../../../etc/passwd",)}, "missing_image"),
        ({"images": ("http://127.0.0.1/a.png",)}, "missing_image"),
        ({"images": ("boxes/img.zip::cut.jpg",)}, "unreadable_image"),
        ({"images": ("boxes/img.zip::text.png",)}, "unreadable_image"),
        ({"images": ("boxes/img.zip::empty.png",)}, "unreadable_image"),
        ({"images": ("boxes/img.zip::animated.webp",)}, "unreadable_image"),
        ({"images": ("boxes/img.zip::huge.png",)}, "unreadable_image"),
        ({"images": ("boxes/img.zip::bomb.png",)}, "unreadable_image"),
        ({"bbox": None}, "no_box"),
        ({"box_frame": None}, "no_frame"),
        ({"box_frame": "resized_px"}, "no_frame"),
        ({"box_image": 1}, "box_image"),
        ({"bbox": (1.0, 2.0, float("inf"), 20.0)}, "box_not_finite"),
        ({"bbox": (float("nan"), 2.0, 30.0, 20.0)}, "box_not_finite"),
        ({"bbox": (30.0, 2.0, 1.0, 20.0)}, "box_inverted"),
        ({"bbox": (1.0, 20.0, 30.0, 20.0)}, "box_inverted"),
        ({"bbox": (1.0, 2.0, 41.5, 20.0)}, "box_outside"),
        ({"bbox": (-1.5, 2.0, 30.0, 20.0)}, "box_outside"),
        ({"bbox": (100.0, 200.0, 300.0, 400.0)}, "box_outside"),
        ({"bbox": (1.0, 2.0, 1030.0, 20.0), "box_frame": "per_mille"}, "box_outside"),
    ],
)
def test_a_broken_promise_has_its_code(raw, change, expected):
    assert code(raw, row(**change)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"problem": "Before <image> after?"},
        {"problem": "Answer in <answer> tags: is 1 < 2 <b>bold</b>?"},
        {"bbox": (-1.0, -1.0, 41.0, 31.0)},
        {"bbox": (0.0, 0.0, 1000.0, 1000.0), "box_frame": "per_mille"},
        {"bbox": (0.0, 0.0, 1020.0, 1000.0), "box_frame": "per_mille"},  # .8 px beyond an image 40 px wide
        {"thought": "a cat"},
    ],
)
def test_a_kept_promise_passes(raw, change):
    assert code(raw, row(**change)) == "valid"


def test_a_text_row_needs_no_image_and_no_box(raw):
    assert code(raw, text_row()) == "valid"


def test_of_equal_rows_the_first_stays_whatever_the_image_is_called(raw):
    same = {"problem": "Where?"}
    valid, broken = check(raw, row(0, **same), row(1, **same), row(2, **same, images=("boxes/img.zip::same.png",)))
    assert [r.uid for r in valid] == ["rec_train/0"]
    assert broken == {"rec_train/1": "duplicate", "rec_train/2": "duplicate"}


def test_another_image_or_question_is_no_duplicate(raw):
    valid, broken = check(raw, row(0, problem="Where?"), row(1, problem="Where?", images=(OTHER,)), row(2))
    assert (len(valid), broken) == (3, {})


def test_of_contradicting_training_rows_none_stays(raw):
    other = {"answer": "[1, 2, 30, 21]", "bbox": (1.0, 2.0, 30.0, 21.0)}
    valid, broken = check(raw, row(0, problem="?a"), row(1, problem="?a", **other), row(2, problem="?a"), row(3))
    assert [r.uid for r in valid] == ["rec_train/3"]
    assert broken == {"rec_train/0": "contradictory", "rec_train/1": "contradictory", "rec_train/2": "duplicate"}


@pytest.mark.parametrize("change", [{"split": "sft"}, {"split": "eval"}, {"task": "generative", "bbox": None}])
def test_weak_labels_evaluation_sets_and_open_questions_may_hold_several_answers(raw, change):
    valid, broken = check(raw, row(0, problem="?a", **change), row(1, problem="?a", answer="[1, 2, 3, 4]", **change))
    assert (len(valid), broken) == (2, {})


def test_two_data_sets_may_hold_the_same_question(raw):
    groups = {"a": [row(0, "a", problem="?a")], "b": [row(0, "b", problem="?a", answer="[1, 2, 3, 4]")]}
    valid, broken = validate.check_rows(groups, raw, LIMITS)
    assert {name: len(rows) for name, rows in valid.items()} == {"a": 1, "b": 1}
    assert broken == {"a": [], "b": []}


def test_a_uid_belongs_to_one_row(raw):
    assert check(raw, row(0), row(0, problem="Another?"))[1] == {"rec_train/0": "doubled_uid"}


def stage(tmp_path: Path, groups: dict[str, list[Row]], rejected=(), **limits):
    """Run the stage on converted rows."""
    for name, rows in groups.items():
        write_rows(tmp_path / f"data/rows/{name}.parquet", rows)
    files.write_jsonl(tmp_path / "data/convert_quarantine.jsonl", rejected)
    sources = [source(name) if name != "text" else TEXT for name in groups]
    return validate.run(with_sources(*sources, **{"max_quarantine_fraction": 0.5, **limits}), tmp_path)


def test_the_stage_counts_every_row_once(raw, tmp_path):
    rejected = {
        "source": "text", "line": 9, "uid": "text/8", "code": "bad_json", "reason": "no", "stage": "convert", "row": "{"
    }  # fmt: skip
    rows = [row(0), row(1, answer=""), row(2, bbox=(9.0, 9.0, 1.0, 1.0)), row(3)]
    report = stage(tmp_path, {"rec_train": rows, "text": [text_row(0), text_row(1)]}, [rejected])
    assert report == files.read_json(tmp_path / "reports/validate.json")
    examples = report.pop("examples")
    assert report == {
        "rows": 7,
        "valid": 4,
        "quarantined": 3,
        "fraction": 3 / 7,
        "reasons": {"bad_json": 1, "box_inverted": 1, "empty_answer": 1},
        "datasets": {
            "rec_train": {"rows": 4, "valid": 2, "quarantined": 2},
            "text": {"rows": 3, "valid": 2, "quarantined": 1},
        },
        "leakage": {"mode": "strict", "images": 0, "rows": 0},
    }
    lines = files.read_jsonl(tmp_path / "data/quarantine.jsonl")
    assert lines[0] == rejected
    assert [(i["uid"], i["line"], i["code"], i["stage"]) for i in lines[1:]] == [
        ("rec_train/1", 2, "empty_answer", "validate"),
        ("rec_train/2", 3, "box_inverted", "validate"),
    ]
    assert lines[1]["row"]["problem"] == "Where is thing 1?"
    assert examples == [{k: v for k, v in line.items() if k != "row"} for line in lines]
    kept = read_rows(tmp_path / "data/valid/rec_train.parquet")
    assert [r.uid for r in kept] == ["rec_train/0", "rec_train/3"]
    assert kept[0].sizes == (Size(40, 30),)


def test_no_tracked_file_holds_a_path_of_this_machine(raw, tmp_path):
    broken = [row(n, images=(f"boxes/img.zip::{name}",)) for n, name in enumerate(["cut.jpg", "bomb.png", "text.png"])]
    stage(tmp_path, {"rec_train": [*broken, *(row(n) for n in range(3, 9))]})
    for name in ("data/quarantine.jsonl", "reports/validate.json"):
        assert str(tmp_path) not in (tmp_path / name).read_text()
    assert "boxes/img.zip::bomb.png: unpacks to more than" in (tmp_path / "data/quarantine.jsonl").read_text()


def test_infinite_corners_can_be_quarantined(raw, tmp_path):
    stage(tmp_path, {"rec_train": [row(0), row(1, bbox=(1.0, 1.0, float("inf"), 2.0))]})
    (line,) = files.read_jsonl(tmp_path / "data/quarantine.jsonl")
    assert (line["code"], "inf" in line["row"]) == ("box_not_finite", True)


def test_the_same_rows_give_the_same_bytes(raw, tmp_path):
    groups = {"rec_train": [row(n, images=(IMAGE if n % 2 else OTHER,)) for n in range(40)]}
    outputs = []
    for _ in range(2):
        stage(tmp_path, groups)
        outputs.append([p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file() and raw not in p.parents])
    assert outputs[0] == outputs[1]


def test_too_many_unusable_rows_stop_the_pipeline_and_can_be_read(raw, tmp_path):
    rows = [row(0), row(1, answer=""), row(2, answer="")]
    with pytest.raises(
        QuarantineError, match=r"2 of 3 rows \(66\.7 %\) cannot be used, .* allows 50 % \(empty_answer 2\)"
    ):
        stage(tmp_path, {"rec_train": rows})
    assert len(files.read_jsonl(tmp_path / "data/quarantine.jsonl")) == 2
    assert files.read_json(tmp_path / "reports/validate.json")["quarantined"] == 2


def test_exactly_the_allowed_share_passes(raw, tmp_path):
    assert stage(tmp_path, {"rec_train": [row(0), row(1, answer="")]})["fraction"] == 0.5


def test_a_data_set_without_a_usable_row_stops_the_pipeline(raw, tmp_path):
    with pytest.raises(QuarantineError, match=r"no row of text can be used \(1 quarantined: empty_answer 1\)"):
        stage(tmp_path, {"rec_train": [row(n) for n in range(9)], "text": [text_row(answer="")]})


LEAKING = {
    "rec_train": [row(0), row(1, images=(OTHER,))],
    "rec_val": [row(0, "rec_val", split="eval", images=("boxes/img.zip::same.png",), problem="Else?")],
}


def test_an_image_on_both_sides_stops_the_pipeline_under_any_name(raw, tmp_path):
    with pytest.raises(DataError, match=r"1 training rows share .*\(1 images; first: rec_train/0 and rec_val/0\)"):
        stage(tmp_path, LEAKING)
    assert files.read_json(tmp_path / "reports/validate.json")["leakage"] == {"mode": "strict", "images": 1, "rows": 1}


def test_a_question_without_images_on_both_sides_stops_the_pipeline(raw, tmp_path):
    asked = text_row(0, "text_val", problem="Say it.", split="eval")
    groups = {"text": [text_row(0, problem="Say it.")], "text_val": [asked]}
    with pytest.raises(DataError, match=r"\(0 images; first: text/0 and text_val/0\)"):
        stage(tmp_path, groups)


def test_leakage_can_be_reported_or_ignored(raw, tmp_path, caplog):
    assert stage(tmp_path, LEAKING, leakage="warn")["leakage"] == {"mode": "warn", "images": 1, "rows": 1}
    assert "1 training rows share images" in caplog.text
    assert stage(tmp_path, LEAKING, leakage="off")["leakage"] == {"mode": "off", "images": 0, "rows": 0}


def test_weak_labels_count_as_training_for_leakage(raw, tmp_path):
    groups = {"weak": [row(0, "weak", split="sft")], "rec_val": LEAKING["rec_val"]}
    with pytest.raises(DataError, match="first: weak/0 and rec_val/0"):
        stage(tmp_path, groups)


def test_a_missing_image_archive_stops_the_stage_by_name(raw, tmp_path):
    with pytest.raises(DataError, match=r"boxes/gone\.zip: no such archive .*omnirl fetch"):
        stage(tmp_path, {"rec_train": [row(images=("boxes/gone.zip::a.png",))]})


def test_a_truncated_image_archive_stops_the_stage_by_name(raw, tmp_path):
    whole = (raw / "boxes/img.zip").read_bytes()
    (raw / "boxes/img.zip").write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"img\.zip: not a complete zip archive"):
        stage(tmp_path, {"rec_train": [row()]})
    assert not (tmp_path / "data/valid").exists()


def test_rows_of_another_schema_are_named(tmp_path):
    (tmp_path / "data/rows").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "data/rows/rec_train.parquet")
    with pytest.raises(DataError, match=r"rec_train\.parquet: not a file of canonical rows"):
        validate.run(with_sources(source()), tmp_path)


def test_convert_and_validate_work_hand_in_hand(raw, tmp_path):
    good = {"image": "a.png", "problem": "Where?", "solution": [1, 2, 30, 20]}
    bad = [{**good, "solution": [1]}, {**good, "image": "gone.png"}, {**good, "solution": [30, 20, 1, 2]}]
    (raw / "boxes/a.json").write_text(json.dumps([good, *bad]))
    params = with_sources(source(), max_quarantine_fraction=0.8)
    convert.run(params, tmp_path)
    report = validate.run(params, tmp_path)
    assert report["reasons"] == {"bad_box": 1, "box_inverted": 1, "missing_image": 1}
    assert (report["rows"], report["valid"]) == (4, 1)
