"""Draw the demo's questions: pictures of coloured shapes on a 3 x 3 grid, each with its true answer.

Three tasks: `rec` (one picture, the box of the named thing), `pairs` (two pictures, the box of the
thing that is new in the second), `text` (two facts, a sentence; no picture). Everything follows from
the random generator that is handed in. Two things keep evaluation honest:

* what is asked is split for good by a checksum of the picture's contents: a quarter of all pictures
  is held out, and neither training data nor the base model's recipe ever draws one of these;
* out of domain everything moves: more, smaller and darker things, diamonds, a canvas of 126 px that
  the processor shrinks to 84 (so original and resized boxes differ), sentences about equal shapes.

Boxes here are `(x1, y1, x2, y2)` in pixels of the picture itself (`original_px`). This module does
not know file names, rows or models.
"""

import random
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw

from omnirl.errors import ContractError

Kind = Literal["rec", "pairs", "text"]
Domain = Literal["in", "out"]
Cells = tuple[int, int, int, int]
"""A box in whole grid cells."""
PixelBox = tuple[int, int, int, int]

GRID = 3
KINDS: tuple[Kind, ...] = ("rec", "pairs", "text")
BASE_MIX: tuple[Kind, ...] = ("rec", "pairs", "text", "rec", "pairs", "text", "rec", "pairs")
"""Turns in which the base model's rows are drawn: sentences need fewer (half as many are too few)."""
COLOURS = {
    "red": (225, 30, 30),
    "green": (30, 225, 30),
    "blue": (30, 30, 225),
    "yellow": (225, 225, 30),
    "cyan": (30, 225, 225),
    "purple": (225, 30, 225),
}
SHAPES = ("circle", "square", "triangle")
UNNAMED = "object"
"""What questions call a thing without its shape; diamonds, which only exist out of domain, have no other name."""
UNNAMED_SHARE = 1 / 6
DIAMONDS = 1 / 2
"""Share of the asked things that are diamonds, out of domain."""
BACKGROUND = (128, 128, 128)
"""Grey that the processor's normalisation turns into (almost) zero."""
WIDE = 1 / 3
"""Chance of a side of two cells."""
HELD_OUT_PARTS = 4
"""One picture (or pair of facts) in this many is held out for evaluation."""
MAX_TRIES = 10_000
PLACE_TRIES = 60


class Thing(NamedTuple):
    """One coloured shape; colours are never used twice in a picture."""

    colour: str
    shape: str
    cells: Cells


@dataclass(frozen=True)
class Style:
    """How a picture is drawn: `cell` px per grid cell, `inset` px of air inside it, colours times `shade`."""

    cell: int
    inset: int
    shade: float


STYLES: dict[Domain, Style] = {"in": Style(28, 1, 1.0), "out": Style(42, 6, 0.85)}


@dataclass(frozen=True)
class Picture:
    """Things on a grey canvas of `GRID` x `GRID` cells."""

    things: tuple[Thing, ...]
    style: Style

    @property
    def key(self) -> str:
        """What is seen, whatever the order the things were placed in."""
        return f"{self.style.cell}:{sorted(self.things)}"

    def draw(self) -> Image.Image:
        """The picture as RGB, `GRID * style.cell` px wide and high."""
        side = GRID * self.style.cell
        image = Image.new("RGB", (side, side), BACKGROUND)
        pen = ImageDraw.Draw(image)
        for thing in self.things:
            fill = tuple(int(v * self.style.shade) for v in COLOURS[thing.colour])
            x1, y1, x2, y2 = pixels(thing.cells, self.style)
            _draw_shape(pen, thing.shape, (x1, y1, x2 - 1, y2 - 1), self.style.inset, fill)
        return image


@dataclass(frozen=True)
class Scene:
    """One question with everything a publisher (or the base model's recipe) may want to write down."""

    kind: Kind
    question: str
    thought: str
    answer: str
    """The true answer: a sentence, or the box as `[x1, y1, x2, y2]`."""
    pictures: tuple[Picture, ...] = ()
    cells: Cells | None = None
    """The box in grid cells, in the last picture; None for text."""
    facts: tuple[str, ...] = ()
    """What the sentence is about; empty for boxes."""

    @property
    def key(self) -> str:
        """Equal for equal questions about equal pictures."""
        return " | ".join((self.kind, self.question, *(p.key for p in self.pictures)))

    @property
    def box(self) -> PixelBox | None:
        """The true box in pixels of the last picture."""
        return pixels(self.cells, self.pictures[-1].style) if self.cells else None


def pixels(cells: Cells, style: Style) -> PixelBox:
    """Grid cells to pixels of a picture of this style."""
    x1, y1, x2, y2 = cells
    return x1 * style.cell, y1 * style.cell, x2 * style.cell, y2 * style.cell


def _draw_shape(pen: ImageDraw.ImageDraw, shape: str, box: PixelBox, inset: int, fill: tuple[int, ...]) -> None:
    x1, y1, x2, y2 = box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset
    middle_x, middle_y = (x1 + x2) // 2, (y1 + y2) // 2
    match shape:
        case "circle":
            pen.ellipse((x1, y1, x2, y2), fill=fill)
        case "square":
            pen.rectangle((x1, y1, x2, y2), fill=fill)
        case "triangle":
            pen.polygon([(x1, y2), (x2, y2), (middle_x, y1)], fill=fill)
        case "diamond":
            pen.polygon([(middle_x, y1), (x2, middle_y), (middle_x, y2), (x1, middle_y)], fill=fill)
        case _:
            raise ContractError(f"the demo cannot draw the shape {shape!r}; it knows {', '.join(SHAPES)} and diamond")


def _free(cells: Cells, things: Collection[Thing]) -> bool:
    x1, y1, x2, y2 = cells
    return all(x2 <= a or c <= x1 or y2 <= b or d <= y1 for a, b, c, d in (t.cells for t in things))


def _place(
    rng: random.Random, count: int, there: tuple[Thing, ...] = (), *, wide: float = WIDE
) -> tuple[Thing, ...] | None:
    """`there` and `count` more things with unused colours in free cells; None when the grid is too crowded."""
    things = list(there)
    for _ in range(PLACE_TRIES):
        if len(things) == len(there) + count:
            break
        width, height = 1 + (rng.random() < wide), 1 + (rng.random() < wide)
        x, y = rng.randint(0, GRID - width), rng.randint(0, GRID - height)
        cells = (x, y, x + width, y + height)
        if _free(cells, things):
            unused = [c for c in COLOURS if c not in {t.colour for t in things}]
            things.append(Thing(rng.choice(unused), rng.choice(SHAPES), cells))
    return tuple(things) if len(things) == len(there) + count else None


def _name(thing: Thing) -> str:
    return thing.shape if thing.shape in SHAPES else UNNAMED


def _box_scene(kind: Kind, question: str, thought: str, thing: Thing, pictures: tuple[Picture, ...]) -> Scene:
    """The number of the box's top left cell ends the thought; the colour stands right before it: one attention hop."""
    thought = f"{thought} {thing.colour} {thing.cells[1] * GRID + thing.cells[0]}"
    answer = str(list(pixels(thing.cells, pictures[-1].style)))
    return Scene(kind, question, thought, answer, pictures, thing.cells)


def _draw_rec(rng: random.Random, domain: Domain) -> Scene | None:
    """Some questions just say "object"; out of domain it is every second one, and then it is a diamond."""
    things = _place(rng, rng.randint(2, 4) if domain == "in" else rng.randint(4, 5))
    if things is None:
        return None
    index = rng.randrange(len(things))
    unnamed = rng.random() < (UNNAMED_SHARE if domain == "in" else DIAMONDS)
    if unnamed and domain == "out":
        things = (*things[:index], things[index]._replace(shape="diamond"), *things[index + 1 :])
    asked = things[index]
    name = UNNAMED if unnamed else asked.shape
    return _box_scene("rec", f"Find the {asked.colour} {name}.", name, asked, (Picture(things, STYLES[domain]),))


def _draw_pairs(rng: random.Random, domain: Domain) -> Scene | None:
    """Out of domain there are three things before, and the new one may be a diamond."""
    before = _place(rng, rng.randint(1, 2) if domain == "in" else 3)
    after = _place(rng, 1, before) if before else None
    if before is None or after is None:
        return None
    if domain == "out" and rng.random() < DIAMONDS:
        after = (*before, after[-1]._replace(shape="diamond"))
    pictures = (Picture(before, STYLES[domain]), Picture(after, STYLES[domain]))
    return _box_scene("pairs", "Find the new object.", _name(after[-1]), after[-1], pictures)


def _relation(first: Cells, second: Cells) -> str:
    if first[0] != second[0]:
        return "left of" if first[0] < second[0] else "right of"
    return "above" if first[1] < second[1] else "below"


def _draw_text(rng: random.Random, domain: Domain) -> Scene | None:
    """In domain the two shapes differ, out of domain they are the same."""
    things = _place(rng, 2, wide=0.0)
    if things is None:
        return None
    first, second = things
    if domain == "out":
        second = second._replace(shape=first.shape)
    elif first.shape == second.shape:
        return None
    relation = _relation(first.cells, second.cells)
    facts = (_fact(first), _fact(second))
    answer = f"the {first.colour} {first.shape} is {relation} the {second.colour} {second.shape}"
    return Scene("text", f"Write: {facts[0]} and {facts[1]}.", relation, answer, facts=facts)


def _fact(thing: Thing) -> str:
    x, y, _, _ = pixels(thing.cells, STYLES["in"])
    return f"{thing.colour} {thing.shape} at {x}, {y}"


_MAKERS = {"rec": _draw_rec, "pairs": _draw_pairs, "text": _draw_text}


def is_held_out(key: str) -> bool:
    """Whether a picture (or a pair of facts) belongs to evaluation; the same on every machine, for ever."""
    return zlib.crc32(key.encode()) % HELD_OUT_PARTS == 0


def _right_side(scene: Scene, *, held_out: bool) -> bool:
    keys = [p.key for p in scene.pictures] or [" and ".join(sorted(scene.facts))]
    return all(is_held_out(key) == held_out for key in keys)


def draw_scene(rng: random.Random, kind: Kind, *, domain: Domain = "in", held_out: bool = False) -> Scene:
    """One scene, whose pictures all are (or all are not) of the held-out quarter.

    Raises:
        ContractError: none was found in `MAX_TRIES` tries.
    """
    for _ in range(MAX_TRIES):
        scene = _MAKERS[kind](rng, domain)
        if scene and _right_side(scene, held_out=held_out):
            return scene
    raise ContractError(
        f"no {kind} scene of the wanted half was found in {MAX_TRIES} tries; the rules of the demo contradict"
    )


def distinct_scenes(
    rng: random.Random, kind: Kind, count: int, *, domain: Domain = "in", held_out: bool = False
) -> list[Scene]:
    """`count` scenes of which no two are alike; held-out ones do not even share a picture.

    Raises:
        ContractError: the demo's little world has not that many; names how many were found.
    """
    seen: set[str] = set()
    scenes: list[Scene] = []
    for _ in range(MAX_TRIES + 100 * count):
        if len(scenes) == count:
            return scenes
        scene = draw_scene(rng, kind, domain=domain, held_out=held_out)
        keys = {scene.key, *(p.key for p in scene.pictures if held_out)}
        if not keys & seen:
            seen |= keys
            scenes.append(scene)
    raise ContractError(
        f"only {len(scenes)} of {count} different {kind} scenes exist or were found; ask for fewer rows"
    )


def endless(rng: random.Random) -> Iterator[Scene]:
    """Fresh training scenes of the three tasks, without end: what the base model learns from."""
    for kind in cycle(BASE_MIX):
        yield draw_scene(rng, kind)


class WeakLabel(NamedTuple):
    """What a cheap annotator gives: perhaps a loose box or a sloppy sentence, perhaps no thought."""

    answer: str
    cells: Cells | None
    """The box of `answer` in grid cells; None for text."""
    thought: str | None


def weaken(rng: random.Random, scene: Scene, *, share: float, side: float, no_thought: float) -> WeakLabel:
    """A weak label of `scene`.

    Args:
        rng: source of chance.
        scene: the scene with its true answer.
        share: chance that the label is loose or sloppy at all.
        side: chance of each side of a loose box to stand one cell too far out (never past the edge).
        no_thought: chance that the thought is missing.
    """
    thought = None if rng.random() < no_thought else scene.thought
    if rng.random() >= share:
        return WeakLabel(scene.answer, scene.cells, thought)
    if scene.cells is None:
        return WeakLabel(_sloppy(scene.answer), None, thought)
    x1, y1, x2, y2 = scene.cells
    out = [int(rng.random() < side) for _ in range(4)]
    loose = (max(0, x1 - out[0]), max(0, y1 - out[1]), min(GRID, x2 + out[2]), min(GRID, y2 + out[3]))
    return WeakLabel(str(list(pixels(loose, scene.pictures[-1].style))), loose, thought)


def _sloppy(sentence: str) -> str:
    """Half of the sentence: one way to be sloppy, so that a short warm start picks it up."""
    return " ".join(sentence.split()[:4])
