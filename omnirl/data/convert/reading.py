"""What all converters share: rows out of JSON, image names, boxes, answers, reward names.

Each function returns its value or raises `BadRow`, which costs one row; only a file that cannot be read
to its end is a `DataError`. Strictness is that of `omnirl.io.files`: no double keys, no NaN.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from omnirl import rewards
from omnirl.config import Source
from omnirl.data.quarantine import Problem, Rejected
from omnirl.data.terms import BOX_TASKS, IMAGE_MARK
from omnirl.errors import ConfigError, DataError
from omnirl.io.files import parse_json, sha256_bytes
from omnirl.parsing.boxes import find_box
from omnirl.schema.row import Box, Row

_REWARD_ALIASES = {"rec": "rec_iou", "iou": "rec_iou", "unified": "unified_accuracy"}
"""Names other projects use in `accu_reward_method` for rewards that have another name here."""
_SPACE = " \t\r\n"


class BadRow(Exception):
    """This row cannot be converted."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(code, reason)


class Item(NamedTuple):
    """One row as it stands in the file; `problem` says why it could not be parsed (`value` is its text then)."""

    index: int
    """From 0 on: place in the array, or line of a JSON-lines file."""
    value: Any
    problem: Problem | None = None


class Parts(NamedTuple):
    """What a converter finds in one row, before it becomes canonical."""

    images: list[str]
    problem: str
    answer: str
    reward: str
    box: Box | None = None
    thought: str | None = None


def convert_rows(
    data: bytes, source: Source, where: str, read: Callable[[dict[str, Any], Source], Parts]
) -> Iterator[Row | Rejected]:
    """Canonical rows of one annotation file; `read` takes one JSON object apart.

    Raises:
        DataError: the file cannot be read to its end; names it and the place.
    """
    digest = sha256_bytes(data)
    for item in read_items(data, where):
        try:
            yield _row(read(_object(item), source), source, f"{where}#{item.index}", item.index, digest)
        except BadRow as bad:
            yield Rejected(item.index + 1, bad.problem.code, bad.problem.reason, item.value)


def _object(item: Item) -> dict[str, Any]:
    if item.problem is not None:
        raise BadRow(item.problem.code, item.problem.reason)
    if not isinstance(item.value, dict):
        raise BadRow("wrong_type", f"expected a JSON object, found {type(item.value).__name__}")
    return item.value


def _row(parts: Parts, source: Source, where: str, index: int, digest: str) -> Row:
    uid = f"{source.name}/{index}"
    for name, text in (("problem", parts.problem), ("answer", parts.answer), ("thought", parts.thought or "")):
        _require_text(name, text)
    marks = parts.problem.count(IMAGE_MARK)
    if marks not in (0, len(parts.images)):
        raise BadRow("image_count", f"{marks} {IMAGE_MARK} places for {len(parts.images)} images")
    references = tuple(image_reference(source, name) for name in parts.images)
    return Row(
        uid=uid,
        dataset=source.name,
        split=source.split,
        task=source.task,
        problem=parts.problem,
        answer=parts.answer,
        reward=parts.reward,
        images=references,
        bbox=parts.box,
        box_frame=source.box_frame if parts.box is not None else None,
        box_image=max(0, len(references) - 1) if parts.box is not None else 0,
        thought=parts.thought,
        cluster="|".join(references) or uid,
        source=where,
        source_sha256=digest,
    )


def read_items(data: bytes, where: str) -> Iterator[Item]:
    """Rows of a JSON array, or of JSON lines (blank lines are skipped); told apart by the first sign.

    Raises:
        DataError: not UTF-8, or an array that is not well-formed to its end.
    """
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from _array_items(data, where)
        return
    for index, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n")):
        if line.strip():
            try:
                yield Item(index, parse_json(line, where=f"line {index + 1}"))
            except DataError as error:
                yield Item(index, line.decode("utf-8", "backslashreplace"), Problem("bad_json", str(error)))


def _array_items(data: bytes, where: str) -> Iterator[Item]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start}") from None
    at, index = _skip(text, _skip(text, 0) + 1), 0
    more = text[at : at + 1] != "]"
    while more:
        value, end, problem = _element(text, at, index, where)
        yield Item(index, value, problem)
        index, at = index + 1, _skip(text, end)
        sign = text[at : at + 1]
        if sign not in (",", "]"):
            raise DataError(f"{where}: not a complete JSON array, expected ',' or ']' behind row {index}")
        more = sign == ","
        at = _skip(text, at + 1) if more else at
    if text[_skip(text, at + 1) :]:
        raise DataError(f"{where}: there is text behind the end of the JSON array")


def _element(text: str, at: int, index: int, where: str) -> tuple[Any, int, Problem | None]:
    """One element at `at`: value, end, and why it is not strict JSON (its text is the value then)."""
    try:
        value, end = _STRICT.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not JSON in row {index + 1} (line {error.lineno}, column {error.colno}): {error.msg}"
        ) from None
    except ValueError as error:
        reason = str(error)
    except RecursionError:
        raise DataError(f"{where}: row {index + 1} is nested too deeply") from None
    else:
        return value, end, None
    try:
        _, end = _LENIENT.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON in row {index + 1}: {error}") from None
    return text[at:end], end, Problem("bad_json", reason)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_no_doubles, parse_constant=_no_constant)
_LENIENT = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def field(item: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """The required field `name` of one of the types `kind`."""
    if name not in item:
        raise BadRow("missing_field", f"the field {name!r} is missing")
    value = item[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRow("wrong_type", f"the field {name!r} is {type(value).__name__}")
    return value


def image_names(item: dict[str, Any], *, required: bool) -> list[str]:
    """`image` as a list: a string, a list of strings, or nothing (missing, null, empty)."""
    value = item.get("image")
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRow("wrong_type", "the field 'image' is neither a string nor a list of strings")
    if required and not names:
        raise BadRow("missing_field", "the field 'image' is missing or empty")
    return names


def image_reference(source: Source, name: str) -> str:
    """`name` below the source's images, as a reference for `omnirl.io.archives`; hostile names are refused."""
    if source.images is None:
        raise BadRow("bad_image_name", f"the row names the image {name!r}, but convert.sources says `images: null`")
    pure = PurePosixPath(name)
    hostile = not pure.parts or pure.is_absolute() or ".." in pure.parts
    if hostile or any(sign in name for sign in ("\\", ":", "\0", "//")) or not _is_text(name):
        raise BadRow("bad_image_name", f"{name!r} is not a plain relative image name")
    return f"{source.images}{'::' if source.images.lower().endswith('.zip') else '/'}{pure}"


def box_of(value: Any, name: str) -> Box:
    """A box from a list of four numbers or from text that holds exactly one."""
    if isinstance(value, str):
        box = find_box(value)
        if box is None:
            raise BadRow("bad_box", f"the field {name!r} holds not exactly one box: {value[:80]!r}")
        return box
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or len(value) != 4:
        raise BadRow("bad_box", f"the field {name!r} is no list of four numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise BadRow("bad_box", f"the field {name!r} holds something that is no number")
    try:
        x1, y1, x2, y2 = (float(v) for v in value)
    except OverflowError:
        raise BadRow("bad_box", f"the field {name!r} holds a number beyond all bounds") from None
    return x1, y1, x2, y2


def box_text(box: Box) -> str:
    """`[x1, y1, x2, y2]`; whole numbers without a fraction."""
    return f"[{', '.join(str(int(v)) if v.is_integer() else repr(v) for v in box)}]"


def split_thought(text: str) -> tuple[str | None, str]:
    """(thought, answer) of `<think>T</think><answer>A</answer>`; a value without tags is the answer.

    Either block may be missing; a block that is not closed, or stands twice, is refused.
    """
    thought, rest = _block(text, "think")
    answer, outside = _block(rest, "answer")
    if answer is None:
        return thought, rest.strip()
    if outside.strip():
        raise BadRow("bad_answer", f"there is text outside the <answer> block: {outside.strip()[:80]!r}")
    return thought, answer.strip()


def _block(text: str, tag: str) -> tuple[str | None, str]:
    """Content of the one `<tag>` block, and the text without it."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    if opening not in text and closing not in text:
        return None, text
    start, end = text.find(opening), text.find(closing)
    if text.count(opening) != 1 or text.count(closing) != 1 or end < start:
        raise BadRow("bad_answer", f"the {opening} block is not closed or stands more than once")
    return text[start + len(opening) : end].strip(), text[:start] + text[end + len(closing) :]


def reward_of(item: dict[str, Any], source: Source) -> str:
    """The row's own `accu_reward_method`, by this project's name; else the source's reward."""
    method = item.get("accu_reward_method")
    if method is None:
        return source.reward
    name = _REWARD_ALIASES.get(method, method) if isinstance(method, str) else None
    if name not in accuracy_rewards():
        known = ", ".join(accuracy_rewards())
        raise BadRow("unknown_reward", f"accu_reward_method {method!r} is no accuracy reward here; known: {known}")
    return name


def accuracy_rewards() -> tuple[str, ...]:
    """Registered rewards that judge an answer (all but `format`)."""
    return tuple(name for name in rewards.names() if name != "format")


def require_source(source: Source) -> None:
    """Check what a source says about itself.

    Raises:
        ConfigError: an unknown reward, or a task with boxes without their frame.
    """
    if source.reward not in accuracy_rewards():
        raise ConfigError(
            f"convert.sources {source.name}: {source.reward!r} is no accuracy reward; "
            f"known: {', '.join(accuracy_rewards())}"
        )
    if source.task in BOX_TASKS and source.box_frame is None:
        raise ConfigError(
            f"convert.sources {source.name}: task {source.task} has boxes, so box_frame must say in which unit "
            "(original_px, resized_px or per_mille)"
        )


def _require_text(name: str, text: str) -> None:
    if not _is_text(text):
        raise BadRow("bad_text", f"{name} holds NUL or half a surrogate pair")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
