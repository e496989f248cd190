"""Families, sizes and box texts: no torch is loaded."""

import subprocess
import sys

import pytest

from omnirl.errors import ConfigError, ContractError
from omnirl.models import families
from omnirl.models.families import image_sizes_seen, split_by_row
from omnirl.schema.row import Size


def test_families_codec_and_prompts_load_without_torch():
    code = (
        "import sys; from omnirl.models import codec, families, prompts; "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_family_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"qwen9.*demo-tiny, qwen2\.5-vl"):
        families.get("qwen9")


@pytest.mark.parametrize("name", sorted(families.FAMILIES))
def test_every_entry_is_consistent(name):
    family = families.get(name)
    assert family.name == name
    assert family.patch_factor % family.patch_size == 0
    assert {"<|image_pad|>", "<|video_pad|>"} <= set(family.placeholders)
    assert set(family.parts()) == {"vision", "language", "merger"}


@pytest.mark.parametrize(
    ("name", "grid", "size"),
    [
        # A 640 x 428 picture is shown to Qwen2.5-VL as 644 x 420 (docs of its processor): 46 x 30 patches of 14
        pytest.param("qwen2.5-vl", (1, 30, 46), Size(644, 420), id="qwen2.5-vl"),
        pytest.param("demo-tiny", (1, 3, 4), Size(112, 84), id="demo-tiny"),
    ],
)
def test_size_from_grid_is_columns_by_rows_in_pixels(name, grid, size):
    assert families.get(name).image_size_from_grid(grid) == size


def test_text_only_batch_has_no_sizes():
    assert image_sizes_seen({"input_ids": [[1]]}, families.get("demo-tiny")) == []


def test_sizes_are_dealt_to_rows_in_order():
    a, b, c = Size(1, 2), Size(3, 4), Size(5, 6)
    assert split_by_row([a, b, c], [1, 0, 2]) == [[a], [], [b, c]]


def test_sizes_that_do_not_add_up_are_refused_not_shifted():
    with pytest.raises(ContractError, match="rows hold 1 images, the processed batch holds 2"):
        split_by_row([Size(1, 1), Size(1, 1)], [1])
