"""One row of the demo's annotation files before it is spelled in a publisher's form."""

from dataclasses import dataclass

from omnirl.demo.scenes import PixelBox


@dataclass(frozen=True)
class Entry:
    """What a publisher knows about one question."""

    number: int
    """Counts through all files; names the pictures and, in conversations, the row."""
    question: str
    answer: str | PixelBox
    """A sentence, or the box in pixels of the last picture."""
    thought: str | None
    images: tuple[str, ...]
    """Names inside the zip of pictures."""
    side: int
    """Width and height of the pictures in pixels."""
    places: int
    """How many `<image>` places the question gets in conversations."""
