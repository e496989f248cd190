"""Numbers as text, boxes over pictures, choice of questions, figures."""

import base64
import io

import pytest
import tree
from PIL import Image

from omnirl.io.images import decode_image
from omnirl.report import examples, figures, pictures, tables, words
from omnirl.report.inputs import read_curve, read_evidence
from omnirl.schema import layout
from omnirl.schema.record import EvalRecord
from omnirl.schema.row import Row, Size


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"), (1.0, "1.00"), (0.0701, "0.070"), (0.0012, "0.001"), (3e-42, "3 × 10⁻⁴²"),
        (9.96e-5, "1 × 10⁻⁴"), (5e-324, "1 × 10⁻³²⁴"), (0.0, "< 10⁻³⁰⁰"),
    ],
)  # fmt: skip
def test_p_values_read_well_at_any_size(value, expected):
    assert words.p_value(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.463, "+46.3"), (-0.021, "−2.1"), (0.0, "0.0"), (-0.0001, "0.0"), (None, "–")]
)
def test_gains_are_points_with_a_sign(value, expected):
    assert words.points(value) == expected


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("acc50", "boxes found, IoU > 0.5"),
        ("acc75", "boxes found, IoU > 0.75"),
        ("acc05", "boxes found, IoU > 0.05"),
        ("unified90", "right from text score 0.9 on"),
        ("map", "map"),
        (None, "–"),
    ],
)
def test_metrics_have_names_that_say_their_threshold(metric, expected):
    assert words.metric_name(metric) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(8.25, "8.2 s"), (123, "2 min 03 s"), (3900, "1 h 05 min")])
def test_durations_read_well(seconds, expected):
    assert words.duration(seconds).replace("\u202f", " ") == expected


def record(box) -> EvalRecord:
    return EvalRecord(
        uid="a", set="s", task="rec", cluster="a", prompt="", completion="", parsed=None, box=box,
        status="ok", correct=False, scores={}, tokens=1,
    )  # fmt: skip


def question(**changes) -> Row:
    facts = {"images": ("a.png",), "sizes": (Size(640, 428),), "bbox": (146.0, 137.0, 615.0, 415.0)}
    facts |= {"box_frame": "original_px", **changes}
    return Row(uid="a", dataset="d", split="eval", task="rec", problem="q", answer="a", reward="rec_iou", **facts)


def test_a_per_mille_box_is_drawn_in_pixels():
    row = question(bbox=(228.125, 320.09345794392523, 960.9375, 969.6261682242991), box_frame="per_mille")
    assert pictures.true_box(row) == pytest.approx((146, 137, 615, 415))


def test_a_box_in_a_frame_nobody_can_convert_is_not_drawn():
    assert pictures.true_box(question(box_frame="resized_px")) is None
    assert pictures.true_box(question(box_frame="per_mille", sizes=())) is None


def test_an_inverted_or_endless_box_never_gets_a_negative_extent(tmp_path):
    (tmp_path / layout.RAW).mkdir(parents=True)
    (tmp_path / layout.RAW / "a.png").write_bytes(tree.picture(0))
    shown = pictures.of_question(tmp_path, question(), record((50, 60, 10, 20)), record((0, 0, float("inf"), 9)))
    champion = [b for b in shown[0].boxes if b.who == "champion"]
    assert (champion[0].x, champion[0].y, champion[0].width, champion[0].height) == (10, 20, 40, 40)
    assert [b.who for b in shown[0].boxes] == ["truth", "champion"]


def test_boxes_lie_over_the_picture_they_are_about(tmp_path):
    (tmp_path / layout.RAW).mkdir(parents=True)
    for name in "ab":
        (tmp_path / layout.RAW / f"{name}.png").write_bytes(tree.picture(0))
    row = question(images=("a.png", "b.png"), sizes=(tree.SIZE, tree.SIZE), bbox=tree.BOX, box_image=1)
    first, second = pictures.of_question(tmp_path, row, record(tree.BOX), record(None))
    assert first.boxes == ()
    assert [b.who for b in second.boxes] == ["truth", "champion"]
    assert second.text == "Picture 2 of 2; truth box [28, 0, 56, 28], champion box [28, 0, 56, 28]"


def decoded(uri: str) -> Image.Image:
    return decode_image(base64.b64decode(uri.partition(",")[2]), where="uri")


def test_drawings_are_kept_exactly_and_photographs_are_reduced():
    drawing = Image.open(io.BytesIO(tree.picture(1))).convert("RGB")
    assert decoded(pictures.encode(drawing)).tobytes() == drawing.tobytes()
    photo = Image.merge("RGB", [Image.radial_gradient("L").resize((1600, 900)).rotate(a) for a in (0, 30, 60)])
    photo = Image.blend(photo, Image.effect_noise(photo.size, 60).convert("RGB"), 0.2)
    uri = pictures.encode(photo)
    assert uri.startswith("data:image/jpeg;base64,")
    assert decoded(uri).size == (480, 270)


def test_an_undecodable_picture_says_why_and_is_no_stand_in(tmp_path):
    (tmp_path / layout.RAW).mkdir(parents=True)
    (tmp_path / layout.RAW / "a.png").write_bytes(tree.picture(0)[:50])
    shown = pictures.load(tmp_path, "a.png", "x")
    assert shown.uri is None
    assert "a.png: damaged image" in shown.problem


def test_galleries_take_one_question_of_each_set_and_only_of_their_kind(tmp_path):
    evidence = read_evidence(tree.build(tmp_path), tmp_path)
    gained, lost = examples.gained(evidence), examples.lost(evidence)
    assert sorted(q.set for q in gained) == sorted(words.set_name(s) for s in tree.SETS)
    assert {(q.answers[0].correct, q.answers[1].correct) for q in gained} == {(False, True)}
    assert {(q.answers[0].correct, q.answers[1].correct) for q in lost} == {(True, False)}
    assert len(examples.sample(evidence)) == evidence.params.report.examples


def test_long_texts_say_how_much_was_left_out():
    assert examples.clip("a" * 700) == "a" * 500 + " … (200 more characters)"


def test_effects_follow_holms_value_and_the_sign():
    row = {"p": 0.01, "p_holm": 0.06, "gain": 0.2}
    assert tables.effect(row, 0.05) == "same"
    assert tables.effect({**row, "p_holm": 0.04}, 0.05) == "better"
    assert tables.effect({**row, "p_holm": 0.04, "gain": -0.2}, 0.05) == "worse"
    assert tables.effect({"p": None, "p_holm": None, "gain": 0.2}, 0.05) == "unknown"


def test_an_attack_pays_from_honest_plus_margin_on(tmp_path):
    evidence = read_evidence(tree.build(tmp_path), tmp_path)
    alone = tables.redteam(evidence)["alone"]
    paying = [
        (a["name"], [c["pays"] for c in a["cells"]]) for a in alone["attacks"] if any(c["pays"] for c in a["cells"])
    ]
    assert paying == [("padding", [False, True])]


def test_the_running_mean_keeps_a_straight_line_straight():
    line = [float(i) for i in range(20)]
    assert figures.running_mean(line, 9) == pytest.approx(line)
    assert figures.running_mean([0, 3, 0], 3) == [0, 1, 0]


def test_curves_with_gaps_and_words_are_drawn_from_what_is_there(tmp_path):
    (tmp_path / "c.csv").write_text("step,reward,entropy,loss\n1,0.5,,nan\n2,,x,inf\n3,1.5,,\n")
    curve = read_curve(tmp_path / "c.csv")
    assert curve["reward"] == [0.5, None, 1.5]
    charts = figures.curves(curve, figures.TRAIN_PANELS + figures.SFT_PANELS)
    assert [c.title for c in charts] == ["Reward"]
    assert charts[0].text == "Reward: all together from 0.5 to 1.5."


def test_figures_are_the_same_text_twice_and_carry_no_date(tmp_path):
    evidence = read_evidence(tree.build(tmp_path), tmp_path)
    rows = tables.results(evidence)
    first, second = figures.forest(rows, {}), figures.forest(rows, {})
    assert first.svg == second.svg
    assert "<metadata" not in first.svg
    assert "Rec in domain +50.0" in first.text
    assert all(color not in first.svg for color in figures.COLORS.values())
