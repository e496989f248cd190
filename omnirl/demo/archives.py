"""Write the demo's scenes as the publishers' files look: zips of pictures, json and jsonl annotations.

| file                      | holds                                                                          |
|---------------------------|--------------------------------------------------------------------------------|
| `train2014.zip`           | `train2014/COCO_train2014_%012d.jpg`                                           |
| `rec_jsons_processed.zip` | `scenes_{train,val}.json`, `out_of_domain.json`: VLM-R1's REC rows;            |
|                           | `scenes_weak.jsonl`: conversations                                             |
| `multi_image.zip`         | png pairs, `pairs_{train,weak,val}.jsonl`: conversations with lists of images  |
| `out_of_domain.zip`       | png pictures, `pairs.jsonl`                                                    |
| `text.zip`                | `facts_{train,val,out_of_domain}.json`: OmniRL rows without image;             |
|                           | `facts_weak.jsonl`: conversations without image                                |

Image names are relative to the zip of pictures. Boxes are original pixels. A question stands before its
pictures. Some training rows are broken on purpose (`omnirl.demo.broken`). Everything follows from
`fetch.demo`; equal parameters give equal bytes.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omnirl.config import Demo
from omnirl.demo import broken, scenes
from omnirl.demo.entry import Entry
from omnirl.demo.scenes import Domain, Kind, Scene
from omnirl.io.archives import zip_bytes
from omnirl.io.images import encode_image

Form = Literal["rec", "conversations", "omnirl"]


@dataclass(frozen=True)
class _Plan:
    """One annotation file: what it asks, who may see it, where it and its pictures lie."""

    name: str
    kind: Kind
    use: Literal["train", "weak", "eval"]
    domain: Domain
    form: Form
    file: str
    """`archive.zip::member` of the annotations."""
    pictures: str = ""
    """Name pattern of the pictures: `{number}` counts through all plans, `{side}` is a or b."""

    @property
    def archive(self) -> str:
        """The zip the annotations lie in."""
        return self.file.partition("::")[0]

    @property
    def pictures_archive(self) -> str:
        """The zip the pictures lie in: named like their folder."""
        return self.pictures.partition("/")[0] + ".zip"


_COCO = "train2014/COCO_train2014_{number:012d}.jpg"
_PAIR = "multi_image/{number:06d}_{side}.png"
_OTHER = "out_of_domain/{number:06d}.png"
_OTHER_PAIR = "out_of_domain/{number:06d}_{side}.png"
_REC = "rec_jsons_processed.zip::rec_jsons_processed"
PLANS = (
    _Plan("scenes_train", "rec", "train", "in", "rec", f"{_REC}/scenes_train.json", _COCO),
    _Plan("scenes_weak", "rec", "weak", "in", "conversations", f"{_REC}/scenes_weak.jsonl", _COCO),
    _Plan("scenes_val", "rec", "eval", "in", "rec", f"{_REC}/scenes_val.json", _COCO),
    _Plan("scenes_out", "rec", "eval", "out", "rec", f"{_REC}/out_of_domain.json", _OTHER),
    _Plan(
        "pairs_train", "pairs", "train", "in", "conversations", "multi_image.zip::multi_image/pairs_train.jsonl", _PAIR
    ),
    _Plan("pairs_weak", "pairs", "weak", "in", "conversations", "multi_image.zip::multi_image/pairs_weak.jsonl", _PAIR),
    _Plan("pairs_val", "pairs", "eval", "in", "conversations", "multi_image.zip::multi_image/pairs_val.jsonl", _PAIR),
    _Plan(
        "pairs_out",
        "pairs",
        "eval",
        "out",
        "conversations",
        "out_of_domain.zip::out_of_domain/pairs.jsonl",
        _OTHER_PAIR,
    ),
    _Plan("facts_train", "text", "train", "in", "omnirl", "text.zip::text/facts_train.json"),
    _Plan("facts_weak", "text", "weak", "in", "conversations", "text.zip::text/facts_weak.jsonl"),
    _Plan("facts_val", "text", "eval", "in", "omnirl", "text.zip::text/facts_val.json"),
    _Plan("facts_out", "text", "eval", "out", "omnirl", "text.zip::text/facts_out_of_domain.json"),
)


@dataclass
class _Archives:
    """Members of the zips under construction, and the next free picture number."""

    members: dict[str, dict[str, bytes]] = field(default_factory=dict)
    next_number: int = 1

    def add(self, archive: str, member: str, data: bytes) -> None:
        """Put one file into one zip."""
        self.members.setdefault(archive, {})[member] = data


def build(demo: Demo) -> dict[str, bytes]:
    """File name -> bytes of the five archives.

    Raises:
        ContractError: more different rows were asked for than the demo's world holds.
    """
    archives = _Archives()
    for plan in PLANS:
        entries = _entries(plan, demo, archives)
        archive, _, member = plan.file.partition("::")
        archives.add(archive, member, _write(entries, plan.form, lines=member.endswith(".jsonl")))
    return {name: zip_bytes(dict(sorted(members.items()))) for name, members in sorted(archives.members.items())}


def _entries(plan: _Plan, demo: Demo, archives: _Archives) -> list[Entry]:
    """The rows of one annotation file, broken ones among them; their pictures go into `archives`."""
    rng = random.Random(f"{plan.name} {demo.seed}")
    count = {"train": demo.train_rows, "weak": demo.weak_rows, "eval": demo.eval_rows}[plan.use]
    defects = broken.planned(plan.name, demo.broken_rows)
    drawn = scenes.distinct_scenes(
        rng, plan.kind, count + len(defects), domain=plan.domain, held_out=plan.use == "eval"
    )
    entries = [_entry(scene, plan, demo, rng, archives) for scene in drawn]
    good, spare = entries[:count], entries[count:]
    for defect, entry in zip(defects, spare, strict=True):
        for name in entry.images:
            pictures = archives.members[plan.pictures_archive]
            if (damaged := broken.damage_image(defect, pictures.pop(name))) is not None:
                pictures[name] = damaged
        good.insert(
            rng.randint(count // 2, len(good)), broken.damage_row(defect, entry, good[rng.randrange(count // 2)])
        )
    return good


def _entry(scene: Scene, plan: _Plan, demo: Demo, rng: random.Random, archives: _Archives) -> Entry:
    number = archives.next_number
    archives.next_number += 1
    names = [plan.pictures.format(number=number, side="ab"[i]) for i in range(len(scene.pictures))]
    for name, picture in zip(names, scene.pictures, strict=True):
        data = encode_image(picture.draw(), "JPEG" if name.endswith(".jpg") else "PNG")
        archives.add(plan.pictures_archive, name, data)
    cells, answer, thought = scene.cells, scene.answer, None
    if plan.use == "weak":
        weak = scenes.weaken(rng, scene, share=demo.weak_box, side=demo.weak_side, no_thought=demo.weak_thought)
        cells, answer, thought = weak.cells, weak.answer, weak.thought
    style = scenes.STYLES[plan.domain]
    return Entry(
        number=number,
        question=scene.question,
        answer=scenes.pixels(cells, style) if cells else answer,
        thought=thought,
        images=tuple(names),
        side=scenes.GRID * style.cell,
        places=len(names),
    )


def _write(entries: Sequence[Entry], form: Form, *, lines: bool) -> bytes:
    rows = [_FORMS[form](entry) for entry in entries]
    if lines:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return json.dumps(rows).encode()


def _rec(entry: Entry) -> dict[str, Any]:
    """VLM-R1's REC row; like the publisher's, `bbox_list` is off by one."""
    box = [float(v) for v in entry.answer]
    return {
        "image": entry.images[0],
        "problem": entry.question,
        "solution": box,
        "normalized_solution": [int(v * 1000 // entry.side) for v in box],
        "bbox_list": [[v - 1 for v in box]],
    }


def _conversation(entry: Entry) -> dict[str, Any]:
    """A conversation; without a thought the answer is now a string, now (for boxes) a list of numbers."""
    answer = entry.answer if isinstance(entry.answer, str) else str(list(entry.answer))
    value: Any = answer
    if entry.thought is not None:
        value = f"<think>{entry.thought}</think><answer>{answer}</answer>"
    elif not isinstance(entry.answer, str) and entry.number % 2:
        value = [float(v) for v in entry.answer]
    images: dict[str, Any] = {"image": list(entry.images) if len(entry.images) > 1 else "".join(entry.images)}
    return {
        "id": entry.number,
        **(images if entry.images else {}),
        "conversations": [
            {"from": "human", "value": entry.question + "<image>" * entry.places},
            {"from": "gpt", "value": value},
        ],
    }


def _omnirl(entry: Entry) -> dict[str, Any]:
    return {"problem": entry.question, "solution": entry.answer}


_FORMS: dict[Form, Callable[[Entry], dict[str, Any]]] = {
    "rec": _rec,
    "conversations": _conversation,
    "omnirl": _omnirl,
}
