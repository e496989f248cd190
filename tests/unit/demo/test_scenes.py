"""Scenes: their answers are judged by the pixels and by the facts, not by the generator."""

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageChops

from omnirl.demo import scenes
from omnirl.errors import ContractError
from omnirl.geometry.frames import convert_box
from omnirl.schema.row import Size

SEEDS = st.integers(0, 2**32)
DOMAINS = st.sampled_from(["in", "out"])


def coloured(picture, colour):
    """Bounding box (x1, y1, x2, y2), right and bottom excluded, of all pixels of this colour."""
    wanted = np.array([int(v * picture.style.shade) for v in scenes.COLOURS[colour]])
    rows, columns = np.nonzero((np.asarray(picture.draw()) == wanted).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def shrunk(box, inset):
    return box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset


@given(SEEDS, DOMAINS, st.booleans())
def test_the_box_of_rec_encloses_the_pixels_of_the_asked_colour(seed, domain, held_out):
    scene = scenes.draw_scene(random.Random(seed), "rec", domain=domain, held_out=held_out)
    colour = re.fullmatch(r"Find the (\w+) (circle|square|triangle|object)\.", scene.question)[1]
    (picture,) = scene.pictures
    found = np.array(coloured(picture, colour))
    assert np.abs(found - shrunk(scene.box, picture.style.inset)).max() <= 1  # tips of triangles end a pixel early


@given(SEEDS, DOMAINS)
def test_the_box_of_pairs_is_where_the_pictures_differ(seed, domain):
    scene = scenes.draw_scene(random.Random(seed), "pairs", domain=domain)
    before, after = (p.draw() for p in scene.pictures)
    found = np.array(ImageChops.difference(before, after).getbbox())
    assert np.abs(found - shrunk(scene.box, scene.pictures[0].style.inset)).max() <= 1


@given(SEEDS, DOMAINS, st.booleans())
def test_the_sentence_is_true_of_the_facts(seed, domain, held_out):
    scene = scenes.draw_scene(random.Random(seed), "text", domain=domain, held_out=held_out)
    facts = re.findall(r"(\w+) (\w+) at (\d+), (\d+)", scene.question)
    (c1, s1, x1, y1), (c2, s2, x2, y2) = ((c, s, int(x), int(y)) for c, s, x, y in facts)
    true = {"left of": x1 < x2, "right of": x1 > x2, "above": x1 == x2 and y1 < y2, "below": x1 == x2 and y1 > y2}
    said = re.fullmatch(rf"the {c1} {s1} is (.+) the {c2} {s2}", scene.answer)[1]
    assert true[said]
    assert scene.thought == said
    assert (s1 == s2) == (domain == "out")


@given(SEEDS, st.sampled_from(["rec", "pairs"]))
def test_the_thought_names_what_the_box_holds(seed, kind):
    scene = scenes.draw_scene(random.Random(seed), kind)
    shape, colour, cell = scene.thought.split()
    x, y = scene.box[0] // 28, scene.box[1] // 28
    assert int(cell) == 3 * y + x
    there = next(t for t in scene.pictures[-1].things if t.cells[:2] == (x, y))
    assert there.colour == colour
    assert shape in (there.shape, "object")
    assert shape != "object" or "object" in scene.question


@given(SEEDS, st.sampled_from(["rec", "pairs"]))
def test_out_of_domain_boxes_differ_between_frames_and_stay_on_the_models_grid(seed, kind):
    scene = scenes.draw_scene(random.Random(seed), kind, domain="out")
    size = Size(*scene.pictures[-1].draw().size)
    assert size == (126, 126)
    seen = convert_box(scene.box, source="original_px", target="resized_px", original=size, resized=Size(84, 84))
    assert seen != scene.box
    assert all(v % 28 == 0 for v in seen)


def test_out_of_domain_pictures_hold_diamonds_and_darker_colours():
    drawn = scenes.distinct_scenes(random.Random(1), "rec", 40, domain="out", held_out=True)
    shapes = {t.shape for s in drawn for p in s.pictures for t in p.things}
    brightest = max(np.asarray(s.pictures[0].draw()).max() for s in drawn)
    assert "diamond" in shapes
    assert brightest == int(225 * 0.85)


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_training_never_sees_what_evaluation_asks(kind):
    train = scenes.distinct_scenes(random.Random(1), kind, 300)
    held_out = scenes.distinct_scenes(random.Random(2), kind, 300, held_out=True)

    def seen(rows):
        return {p.key for s in rows for p in s.pictures} | {tuple(sorted(s.facts)) for s in rows if s.facts}

    assert not seen(train) & seen(held_out)
    fresh = scenes.endless(random.Random(3))
    assert not seen([next(fresh) for _ in range(600)]) & seen(held_out)


@pytest.mark.parametrize("domain", ["in", "out"])
@pytest.mark.parametrize("kind", scenes.KINDS)
def test_evaluation_asks_one_question_for_each_scene(kind, domain):
    drawn = scenes.distinct_scenes(random.Random(5), kind, 300, domain=domain, held_out=True)
    pictures = [p.draw().tobytes() for s in drawn for p in s.pictures]
    assert len({s.question + s.key for s in drawn}) == 300
    assert len(set(pictures)) == len(pictures)


def test_the_same_seed_draws_the_same_scenes():
    def draw(seed):
        return [s.key + s.answer for s in scenes.distinct_scenes(random.Random(seed), "pairs", 20)]

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize("limit", [0, 1])
def test_a_search_without_end_is_an_error(monkeypatch, limit):
    monkeypatch.setattr(scenes, "MAX_TRIES", limit)
    with pytest.raises(ContractError, match="pairs scene"):
        scenes.distinct_scenes(random.Random(0), "pairs", 200, held_out=True)


@given(SEEDS, st.sampled_from(["rec", "pairs"]), st.floats(0, 1), st.floats(0, 1))
def test_a_loose_box_grows_by_whole_cells_and_stays_in_the_picture(seed, kind, share, side):
    scene = scenes.draw_scene(random.Random(seed), kind)
    weak = scenes.weaken(random.Random(seed), scene, share=share, side=side, no_thought=0.4)
    grown = [abs(a - b) for a, b in zip(weak.cells, scene.cells, strict=True)]
    assert set(grown) <= {0, 1}
    assert weak.cells[0] <= scene.cells[0] < scene.cells[2] <= weak.cells[2]
    assert min(weak.cells) >= 0
    assert max(weak.cells) <= 3
    assert weak.answer == str([28 * v for v in weak.cells])


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_shares_of_weak_labels_are_as_ordered(kind):
    rng, drawn = random.Random(1), scenes.distinct_scenes(random.Random(1), kind, 500)
    weak = [scenes.weaken(rng, s, share=0.9, side=1.0, no_thought=0.4) for s in drawn]
    wrong = sum(w.answer != s.answer for w, s in zip(weak, drawn, strict=True)) / 500
    silent = sum(w.thought is None for w in weak) / 500
    assert wrong == pytest.approx(0.9, abs=0.05)  # 4 standard deviations: .054; a full-grid box cannot grow
    assert silent == pytest.approx(0.4, abs=0.09)
    clean = [scenes.weaken(rng, s, share=0.0, side=1.0, no_thought=0.0) for s in drawn]
    assert all((w.answer, w.thought) == (s.answer, s.thought) for w, s in zip(clean, drawn, strict=True))


def test_an_unknown_shape_is_named():
    picture = scenes.Picture((scenes.Thing("red", "star", (0, 0, 1, 1)),), scenes.STYLES["in"])
    with pytest.raises(ContractError, match="'star'"):
        picture.draw()
