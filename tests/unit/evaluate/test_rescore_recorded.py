"""Scores of the recorded runs, and of the same runs after their numbers were tampered with."""

import numpy as np
import pytest

from omnirl.evaluate.rescore import rescore
from tests.unit.evaluate.recorded import COUNTING, changed, per_mille_of, recorded, rewrite, scaled


@pytest.mark.parametrize(
    ("name", "accuracy", "unparsable"),
    [
        ("refcoco-3b-baseline", 0.894, 0),
        ("refcoco-3b-r1_500", 0.906, 0),
        ("refcoco-3b-sft_500", 0.872, 0),
        ("refgta-3b-baseline", 0.718, 1),
        ("refgta-3b-r1_500", 0.746, 0),
        ("refgta-3b-sft_500", 0.368, 1),
    ],
)
def test_recorded_boxes_score_as_published_from_what_the_model_said(name, accuracy, unparsable):
    result = rescore(recorded(name))
    assert (result.n, result.accuracy, result.unparsable) == (500, pytest.approx(accuracy), unparsable)
    assert (result.frame, result.refused) == ("original_px", None)


@pytest.mark.parametrize(("name", "accuracy"), [("legacy", 0.48), ("r1_200", 0.81)])
def test_recorded_counts_score_as_published(name, accuracy):
    result = rescore(recorded(f"{COUNTING}_{name}"))
    assert (result.n, result.accuracy, result.frame) == (200, pytest.approx(accuracy), None)


def test_a_file_whose_own_accuracy_is_wrong_is_contradicted_in_words():
    assert any("states 0.0 %" in note for note in rescore(recorded("refcoco-3b-baseline")).notes)


def _move(*, output=False, truth=False, extracted=False, every=1):
    """Move parts of every `every`-th row into per mille."""

    def change(row, generator, number):
        scales = per_mille_of(row, generator)
        if number % every:
            return
        if output:
            row["model_output"] = rewrite(row["model_output"], lambda box: scaled(box, *scales))
        if truth:
            row["ground_truth"] = [int(v) for v in scaled(row["ground_truth"], *scales)]
        if extracted:
            row["extracted_answer"] = [int(v) for v in scaled(row["extracted_answer"], *scales)]

    return change


def _order(row, _generator, _number):
    row["model_output"] = rewrite(row["model_output"], lambda b: [b[1], b[0], b[3], b[2]])
    row["extracted_answer"] = None


def _corner_and_size(row, _generator, number):
    if number % 2:
        row["model_output"] = rewrite(row["model_output"], lambda b: [b[0], b[1], b[2] - b[0], b[3] - b[1]])


def _factor(low, high):
    def change(row, generator, _number):
        factor = generator.uniform(low, high)
        row["model_output"] = rewrite(row["model_output"], lambda box: scaled(box, factor, factor))
        row["extracted_answer"] = scaled(row["extracted_answer"], factor, factor)

    return change


@pytest.mark.parametrize("name", ["refcoco-3b-r1_500", "refgta-3b-sft_500"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_move(output=True, extracted=True), id="answers in per mille, truth in pixels"),
        pytest.param(_move(truth=True), id="truth in per mille, answers in pixels"),
        pytest.param(_move(output=True, extracted=True, every=2), id="every second answer in per mille"),
        pytest.param(_move(output=True, extracted=True, every=5), id="every fifth answer in per mille"),
        pytest.param(_move(truth=True, every=2), id="every second truth in per mille"),
        pytest.param(_factor(0.5, 2.0), id="answers times a factor of the image"),
        pytest.param(_factor(0.8, 1.2), id="answers times a factor near 1"),
        pytest.param(_factor(1.3, 1.3), id="answers times 1.3"),
        pytest.param(_order, id="x and y exchanged"),
        pytest.param(_corner_and_size, id="every second box as corner and size"),
    ],
)
def test_a_file_that_mixes_frames_is_refused(tmp_path, name, change):
    result = rescore(changed(tmp_path / "run.json", name, change))
    assert result.accuracy is None
    assert result.refused
    assert result.records == []


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [("refcoco-3b-r1_500", 0.906), ("refgta-3b-sft_500", 0.368)],
)
@pytest.mark.parametrize(
    ("change", "frame"),
    [
        pytest.param(_move(truth=True, extracted=True), "per_mille", id="wild: truth and extraction in per mille"),
        pytest.param(_move(output=True), "original_px", id="said in per mille, extracted in pixels"),
        pytest.param(_move(extracted=True), "original_px", id="only the extraction in per mille"),
        pytest.param(_move(output=True, truth=True, extracted=True), "per_mille", id="all in per mille"),
    ],
)
def test_a_frame_that_can_be_found_gives_the_same_accuracy(tmp_path, name, accuracy, change, frame):
    result = rescore(changed(tmp_path / "run.json", name, change))
    assert result.accuracy == pytest.approx(accuracy, abs=0.012), "rounding to whole per mille moves a few boxes"
    assert result.frame == frame


@pytest.mark.parametrize("name", ["refcoco-3b-baseline", "refgta-3b-sft_500"])
@pytest.mark.parametrize("looseness", [0.1, 0.2])
def test_a_weak_model_in_the_right_frame_is_not_refused(tmp_path, name, looseness):
    def shake(row, generator, _number):
        def moved(box):
            sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            return list(np.array(box) + generator.normal(0, looseness, 4) * sides)

        row["model_output"] = rewrite(row["model_output"], moved)
        row["extracted_answer"] = None

    result = rescore(changed(tmp_path / "run.json", name, shake))
    assert result.refused is None


def test_a_model_that_is_mostly_wrong_in_the_right_frame_is_not_refused(tmp_path):
    rows = []

    def collect(row, _generator, number):
        rows.append(row["model_output"])
        if number % 10:
            row["model_output"] = rows[number - 1 - number % 7] if number > 7 else rows[0]
        row["extracted_answer"] = None

    result = rescore(changed(tmp_path / "run.json", "refgta-3b-r1_500", collect))
    assert result.refused is None
    assert 0.03 < result.accuracy < 0.2
