"""Model families: everything that differs between one vision-language model and the next.

One entry per family: the frame it writes boxes in, how it spells them, where its parts live and
which tokens must never be sampled. To add a family, add an entry here and its frame vectors to
`tests/unit/models`; rewards and geometry do not change. Knows nothing of weights; no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnirl.errors import ConfigError, ContractError
from omnirl.schema.row import Frame, Size

BoxStyle = Literal["list", "qwen_json"]
"""`list`: `[x1, y1, x2, y2]`; `qwen_json`: `{"bbox_2d": [x1, y1, x2, y2], "label": "..."}`."""
_LANGUAGE_LINEARS = r".*\blanguage_model\b.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
_QWEN_PLACEHOLDERS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


@dataclass(frozen=True, slots=True)
class Family:
    """What the pipeline must know about a family of models."""

    name: str
    model_type: str
    """`model_type` in `config.json`; another value is refused when weights are loaded."""
    frame: Frame
    """Frame in which the model writes boxes."""
    box_style: BoxStyle
    patch_size: int
    """Pixels of one step of `image_grid_thw`, in both directions."""
    patch_factor: int
    """Sides of resized images are multiples of this: patch size times merge size, in pixels."""
    vision: str
    """Dotted name of the vision tower inside the model class."""
    language: str
    """Dotted name of the language model inside the model class."""
    merger: str
    """Dotted name of the part that turns vision features into language inputs."""
    lora_targets: str
    """Regular expression for `peft`: every linear layer outside the vision tower."""
    placeholders: tuple[str, ...]
    """Tokens that stand for pixels in the prompt; a sampled one would not match any image."""

    def parts(self) -> dict[str, str]:
        """Names used by `freeze` in `params.yaml` -> dotted module names."""
        return {"vision": self.vision, "language": self.language, "merger": self.merger}

    def image_size_from_grid(self, grid: Sequence[int]) -> Size:
        """Size in pixels of an image as the model saw it, from its `(time, rows, columns)` in `image_grid_thw`."""
        _, rows, columns = (int(v) for v in grid)
        return Size(columns * self.patch_size, rows * self.patch_size)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="demo-tiny",
            model_type="qwen3_vl",
            frame="resized_px",
            box_style="list",
            patch_size=28,
            patch_factor=28,
            vision="model.visual",
            language="model.language_model",
            merger="model.visual.merger",
            lora_targets=_LANGUAGE_LINEARS,
            placeholders=_QWEN_PLACEHOLDERS,
        ),
        Family(
            name="qwen2.5-vl",
            model_type="qwen2_5_vl",
            frame="resized_px",
            box_style="qwen_json",
            patch_size=14,
            patch_factor=28,
            vision="model.visual",
            language="model.language_model",
            merger="model.visual.merger",
            lora_targets=_LANGUAGE_LINEARS,
            placeholders=_QWEN_PLACEHOLDERS,
        ),
    )
}


def get(name: str) -> Family:
    """The family `name` (`model.family` in `params.yaml`).

    Raises:
        ConfigError: no such family; names the known ones.
    """
    if name not in FAMILIES:
        raise ConfigError(f"model.family: no family named {name!r}; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def image_sizes_seen(batch: Mapping[str, Any], family: Family) -> list[Size]:
    """Sizes of all images of a processed batch as the model saw them, in pixels, in the batch's order.

    Args:
        batch: what the processor returned; `image_grid_thw` is absent when there are no images.
        family: whose patch size the grid counts in.
    """
    grid = batch.get("image_grid_thw")
    return [] if grid is None else [family.image_size_from_grid(item) for item in grid]


def split_by_row(sizes: Sequence[Size], counts: Sequence[int]) -> list[list[Size]]:
    """Deal the flat list `sizes` out to rows with `counts` images each.

    Raises:
        ContractError: the counts do not add up to the number of sizes.
    """
    if sum(counts) != len(sizes):
        raise ContractError(f"rows hold {sum(counts)} images, the processed batch holds {len(sizes)}")
    rest = iter(sizes)
    return [[next(rest) for _ in range(count)] for count in counts]
