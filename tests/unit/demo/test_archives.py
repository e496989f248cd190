"""The demo's files look like the publishers', and hold what they should and nothing they should not."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from omnirl.config import load_params
from omnirl.demo import archives, broken
from omnirl.demo.entry import Entry
from omnirl.errors import DataError
from omnirl.io.archives import list_members, read_reference
from omnirl.io.images import decode_image

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml")
SMALL = PARAMS.fetch.demo.model_copy(
    update={"train_rows": 40, "weak_rows": 40, "eval_rows": 20, "broken_rows": len(broken.TURNS)}
)


def write(folder, demo):
    (folder / "scenes").mkdir(parents=True)
    for name, data in archives.build(demo).items():
        (folder / "scenes" / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw"), SMALL)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sound"), SMALL.model_copy(update={"broken_rows": 0}))


def rows_of(raw, source):
    data = read_reference(raw, source.annotations)
    return [json.loads(line) for line in data.splitlines()] if source.annotations.endswith("l") else json.loads(data)


def images_of(row):
    images = row.get("image", [])
    return [images] if isinstance(images, str) else images


def source(name):
    return next(s for s in PARAMS.convert.sources if s.name == name)


def box_of(row):
    value = row["solution"] if "solution" in row else row["conversations"][1]["value"]
    if isinstance(value, str):
        value = json.loads(value.split("<answer>")[-1].removesuffix("</answer>"))
    return value


BOXED = [s.name for s in PARAMS.convert.sources if s.task == "rec"]


@pytest.mark.parametrize("name", [s.name for s in PARAMS.convert.sources])
def test_every_source_of_params_exists_with_as_many_rows_as_ordered(sound, name):
    expected = {"train": 40, "sft": 40, "eval": 20}[source(name).split]
    assert len(rows_of(sound, source(name))) == expected


def test_the_files_are_those_that_params_fetches(raw):
    assert {p.name for p in (raw / "scenes").iterdir()} == {f.path for f in PARAMS.fetch.datasets[0].files}


@pytest.mark.parametrize("name", BOXED)
def test_every_box_lies_in_a_picture_that_decodes(sound, name):
    for row in rows_of(sound, source(name)):
        for image in images_of(row):
            reference = f"{source(name).images}::{image}"
            picture = decode_image(read_reference(sound, reference), where=reference)
        x1, y1, x2, y2 = box_of(row)
        assert 0 <= x1 < x2 <= picture.width == (126 if name.endswith("ood") else 84)
        assert 0 <= y1 < y2 <= picture.height


def test_rec_rows_have_the_publishers_fields(sound):
    row = rows_of(sound, source("rec_ood"))[0]
    assert list(row) == ["image", "problem", "solution", "normalized_solution", "bbox_list"]
    assert all(isinstance(v, float) for v in row["solution"])
    assert row["normalized_solution"] == [int(v / 126 * 1000) for v in row["solution"]]
    assert row["bbox_list"] == [[v - 1 for v in row["solution"]]]


def test_coco_pictures_have_coco_names(raw):
    names = list_members(raw / "scenes" / "train2014.zip")
    assert all(len(n) == len("train2014/COCO_train2014_000000000001.jpg") for n in names)
    assert names[0] == "train2014/COCO_train2014_000000000001.jpg"


def test_conversations_ask_before_they_show_and_answer_in_all_the_publishers_ways(sound):
    rows = rows_of(sound, source("rec_weak"))
    values = [r["conversations"][1]["value"] for r in rows]
    assert all(r["conversations"][0]["value"].endswith(".<image>") for r in rows)
    kinds = Counter("list" if isinstance(v, list) else "think" if v.startswith("<think>") else "plain" for v in values)
    assert all(kinds[k] > 0 for k in ("list", "think", "plain"))
    pair = rows_of(sound, source("pairs_train"))[0]
    assert len(pair["image"]) == 2
    assert pair["conversations"][0]["value"] == "Find the new object.<image><image>"


def test_text_rows_have_no_image(sound):
    assert all(set(r) == {"problem", "solution"} for r in rows_of(sound, source("text_train")))
    assert all("image" not in r for r in rows_of(sound, source("text_weak")))


def test_evaluation_shares_no_picture_and_no_facts_with_training(tmp_path):
    raw = write(tmp_path, PARAMS.fetch.demo)  # whole: the few hundred pictures of one thing would meet by chance

    def contents(split):
        found = set()
        for s in (s for s in PARAMS.convert.sources if s.split in split):
            members = list_members(raw / s.images) if s.images else []
            for row in rows_of(raw, s):
                if not s.images:
                    question = row["problem"] if "problem" in row else row["conversations"][0]["value"]
                    found.add(tuple(sorted(re.findall(r"\w+ \w+ at \d+, \d+", question))))
                found |= {read_reference(raw, f"{s.images}::{i}") for i in images_of(row) if i in members}
        return found - {()}

    assert not contents(("train", "sft")) & contents(("eval",))


def test_equal_parameters_give_equal_bytes():
    few = SMALL.model_copy(update={"train_rows": 5, "weak_rows": 5, "eval_rows": 5})
    assert archives.build(few) == archives.build(few)
    assert archives.build(few) != archives.build(few.model_copy(update={"seed": 2}))


def defects_in(raw, s):
    """What an outsider can see to be wrong with the rows of one source."""
    seen, found = set(), []
    members = list_members(raw / s.images) if s.images else []
    for row in rows_of(raw, s):
        question = row["problem"] if "problem" in row else row["conversations"][0]["value"]
        found += ["duplicate"] if json.dumps(row) in seen else []
        seen.add(json.dumps(row))
        found += ["empty_question"] if not question.replace("<image>", "") else []
        if "conversations" in row and question.count("<image>") != len(images_of(row)):
            found.append("image_places")
        missing = [i for i in images_of(row) if i not in members]
        found += ["missing_image"] if missing else []
        for image in [] if missing else images_of(row):
            try:
                decode_image(read_reference(raw, f"{s.images}::{image}"), where=image)
            except DataError:
                found.append("truncated_image")
                break
        if s.task == "rec":
            x1, _, x2, _ = box_of(row)
            found += (
                ["box_inverted"] if x1 > x2 else ["box_outside"] if x2 > 126 or (x2 > 84 and s.split != "eval") else []
            )
    return found


def test_exactly_the_planned_rows_are_broken_and_only_training_rows(raw):
    names = {
        "scenes_train": "rec_train",
        "scenes_weak": "rec_weak",
        "pairs_train": "pairs_train",
        "pairs_weak": "pairs_weak",
        "facts_train": "text_train",
        "facts_weak": "text_weak",
    }
    planned = Counter((names[file], defect) for file, defect in broken.TURNS)
    assert Counter((s.name, d) for s in PARAMS.convert.sources for d in defects_in(raw, s)) == planned


def test_the_sound_world_has_no_defects(sound):
    assert [d for s in PARAMS.convert.sources for d in defects_in(sound, s)] == []


def test_the_demo_breaks_rows_of_every_kind():
    dealt = [d for file in {f for f, _ in broken.TURNS} for d in broken.planned(file, PARAMS.fetch.demo.broken_rows)]
    assert len(dealt) == PARAMS.fetch.demo.broken_rows
    assert set(dealt) == {d for _, d in broken.TURNS}


def test_a_sentence_has_no_box_to_break():
    entry = Entry(1, "Write.", "a sentence", None, (), 84, 0)
    assert broken.damage_row("box_outside", entry, entry) == entry
