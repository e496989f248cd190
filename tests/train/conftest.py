"""A workspace with a tiny model warm enough to earn rewards, shared by the tests of training."""

import sys
from pathlib import Path

import pytest
from short_recipes import WARM

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))


@pytest.fixture(scope="session", params=[pytest.param("demo-tiny", marks=pytest.mark.slow), "qwen2.5-vl"])
def warm(request, tmp_path_factory):
    """(family, root): `models/sft` there answers in the right form now and then."""
    import tiny_vl

    from omnirl.train import sft

    root = tmp_path_factory.mktemp("warm")
    tiny_vl.make_workspace(root, request.param)
    sft.run(tiny_vl.params(request.param, sft=WARM), root)
    return request.param, root


@pytest.fixture
def copy_of(tmp_path):
    """A function that copies what training reads into a fresh folder."""
    import shutil

    def copy(root: Path, name: str) -> Path:
        target = tmp_path / name
        for part in ("models/sft", "models/base", "data/valid", "data/raw"):
            shutil.copytree(root / part, target / part)
        return target

    return copy
