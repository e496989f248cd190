"""Rows written in a publisher's form and converted are the rows again; no input crashes a converter."""

import contextlib
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from omnirl.config import Source
from omnirl.data.convert import CONVERTERS
from omnirl.data.quarantine import Problem, Rejected, entry
from omnirl.errors import DataError
from omnirl.schema.row import Row

CONVERTER_NAMES = sorted(CONVERTERS)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
PLAIN = TEXT.filter(lambda t: "<" not in t and t.strip())
NAMES = st.from_regex(r"[\w-]{1,12}(/[\w-]{1,12}){0,2}\.(jpg|png)", fullmatch=True)
NUMBERS = st.integers(-5000, 5000).map(float) | st.floats(-1e6, 1e6)
BOXES = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def source(converter: str, task: str = "rec") -> Source:
    return Source(
        name="set",
        converter=converter,
        annotations="a.json",
        images="img.zip",
        split="train",
        task=task,
        reward="rec_iou" if task == "rec" else "unified_accuracy",
        box_frame="per_mille" if task == "rec" else None,
    )


def rows(data: bytes, src: Source) -> list[Row | Rejected]:
    return list(CONVERTERS[src.converter](data, src, "a.json"))


def assert_box_row(row, name, problem, box):
    assert isinstance(row, Row)
    assert (row.images, row.problem, row.bbox, row.box_frame) == ((f"img.zip::{name}",), problem, box, "per_mille")
    assert tuple(json.loads(row.answer)) == box


@given(st.lists(st.tuples(NAMES, TEXT.filter(lambda t: "<image>" not in t), BOXES), min_size=1, max_size=5))
def test_rec_rows_survive_the_publishers_form(wanted):
    data = json.dumps([{"image": n, "problem": p, "solution": list(b)} for n, p, b in wanted], ensure_ascii=False)
    found = rows(data.encode(), source("vlmr1-rec"))
    assert len(found) == len(wanted)
    for row, (name, problem, box) in zip(found, wanted, strict=True):
        assert_box_row(row, name, problem, box)


@given(st.lists(st.tuples(NAMES, PLAIN, BOXES, st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_conversation_rows_survive_the_publishers_form(wanted):
    lines = []
    for name, problem, box, as_text, as_list in wanted:
        turns = [
            {"from": "human", "value": f"<image>{problem}"},
            {"from": "gpt", "value": f"<think>so</think><answer>{list(box)}</answer>" if as_text else list(box)},
        ]
        lines.append(json.dumps({"image": [name] if as_list else name, "conversations": turns}))
    found = rows("\n".join(lines).encode(), source("vlmr1-conversations"))
    for row, (name, problem, box, as_text, _) in zip(found, wanted, strict=True):
        assert_box_row(row, name, problem.lstrip(), box)
        assert row.thought == ("so" if as_text else None)


@given(st.lists(st.tuples(st.lists(NAMES, max_size=3), PLAIN, PLAIN), min_size=1, max_size=5), st.booleans())
def test_omnirl_rows_survive_their_form_as_array_and_as_lines(wanted, as_lines):
    items = [{"problem": p, "solution": s, "image": names} for names, p, s in wanted]
    text = "\n".join(map(json.dumps, items)) if as_lines else json.dumps(items)
    found = rows(text.encode(), source("omnirl", "generative"))
    for row, (names, problem, solution) in zip(found, wanted, strict=True):
        assert isinstance(row, Row)
        assert (row.problem, row.answer) == (problem, solution.strip())
        assert row.images == tuple(f"img.zip::{name}" for name in names)


@given(st.sampled_from(CONVERTER_NAMES), st.sampled_from(["rec", "generative"]), st.lists(JSON, max_size=4))
def test_any_json_is_a_row_or_a_rejected_row_that_can_be_written(converter, task, values):
    data = json.dumps(values).encode()
    found = rows(data, source(converter, task))
    assert len(found) == len(values)
    for item in found:
        if isinstance(item, Rejected):
            line = json.dumps(
                entry("set", item.line, None, Problem(item.code, item.reason), "convert", item.row), allow_nan=False
            )
            line.encode()


@given(
    st.sampled_from(CONVERTER_NAMES),
    st.dictionaries(st.sampled_from(["image", "problem", "solution", "conversations", "accu_reward_method"]), JSON),
)
def test_any_values_in_the_known_fields_are_a_row_or_rejected(converter, item):
    for task in ("rec", "generative"):
        (found,) = rows(json.dumps([item]).encode(), source(converter, task))
        assert isinstance(found, Row | Rejected)
        if isinstance(found, Row) and found.bbox is not None:
            assert all(isinstance(v, float) and not math.isnan(v) for v in found.bbox)


@given(st.sampled_from(CONVERTER_NAMES), st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"[" + b))
def test_any_bytes_are_rows_rejected_rows_or_a_data_error(converter, data):
    found: list[Row | Rejected] = []
    with contextlib.suppress(DataError):
        found = rows(data, source(converter))
    assert all(isinstance(item, Row | Rejected) for item in found)
