"""Writing, extracting, decoding, starting programs and loading weights go through `omnirl/io` and `omnirl/models/loading.py`.

Reads the syntax tree of every module of `omnirl`, `tasks` and `flows`. The lint itself is tested on
planted violations: a rule that catches nothing would be worse than none.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IO = "omnirl/io/"
WEIGHTS = "omnirl/models/loading.py"
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "joblib",
    "tarfile",
    "zipfile",
    "pty",
}
"""Importing one of them is enough."""
FORBIDDEN_CALLS = {
    "os.system", "os.popen", "os.fork", "os.open", "os.write", "os.startfile", "shutil.unpack_archive", "PIL.Image.open",
    "torch.load", "torch.save", "torch.hub.load", "numpy.load", "numpy.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "yaml.load_all", "gzip.open", "bz2.open", "lzma.open", "io.open", "codecs.open", "eval", "exec", "compile",
    "safetensors.torch.save_file", "safetensors.torch.load_file", "safetensors.numpy.save_file", "pandas.read_pickle",
    "urllib.request.urlopen", "urllib.request.urlretrieve",
}  # fmt: skip
FORBIDDEN_PREFIXES = (
    "subprocess.",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "multiprocessing.Process",
    "asyncio.create_subprocess",
)
FORBIDDEN_METHODS = {
    "from_pretrained",
    "save_pretrained",
    "extractall",
    "write_text",
    "write_bytes",
    "to_parquet",
    "to_csv",
    "savefig",
}
"""Whatever they are called on, but for the project's own writers (`files.write_text`)."""
OWN_WRITERS = {"omnirl.io.files.write_text", "omnirl.io.files.write_bytes"}
WRITING = set("wax+")


def violations(source: str) -> list[str]:
    """`line: what` for everything in `source` that only the doors may do."""
    tree = ast.parse(source)
    aliases = dict(_aliases(tree))
    found = [f"{line}: import {name}" for line, name in _imports(tree) if name.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (what := _forbidden(node, aliases)):
            found.append(f"{node.lineno}: {what}")
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def _aliases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0], alias.name.split(".")[0])
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, aliases)
        return f"{base}.{node.attr}" if base else f".{node.attr}"
    return ""


def _forbidden(call: ast.Call, aliases: dict[str, str]) -> str | None:
    name = _dotted(call.func, aliases)
    if name in OWN_WRITERS:
        return None
    if name in FORBIDDEN_CALLS or name.startswith(FORBIDDEN_PREFIXES):
        return name
    method = name.rpartition(".")[2]
    if method in FORBIDDEN_METHODS:
        return name
    if method == "open" and _mode(call, at=1 if name == "open" else 0) & WRITING:
        return f"{name} for writing"
    return None


def _mode(call: ast.Call, *, at: int) -> set[str]:
    """Letters of the mode of an `open`; `w` where it cannot be read from the source."""
    given = call.args[at] if len(call.args) > at else next((k.value for k in call.keywords if k.arg == "mode"), None)
    if given is None:
        return set()
    return set(given.value) if isinstance(given, ast.Constant) and isinstance(given.value, str) else {"w"}


def allowed(path: str, what: str) -> bool:
    """Whether the module `path` is the door for `what`."""
    if path.startswith(IO):
        return "pretrained" not in what and "pickle" not in what
    return path == WEIGHTS and "pretrained" in what


def modules() -> list[str]:
    folders = ("omnirl", "tasks", "flows")
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", modules())
def test_module_does_nothing_that_only_the_doors_may_do(path):
    found = [what for what in violations((ROOT / path).read_text()) if not allowed(path, what)]
    assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "open('x', 'w')",
        "open('x', mode='ab')",
        "open(p, mode)",
        "from pathlib import Path\nPath('x').open('x')",
        "path.write_text('x')",
        "(root / 'x').write_bytes(b'')",
        "import zipfile",
        "from zipfile import ZipFile",
        "import tarfile as t",
        "import pickle",
        "from PIL import Image\nImage.open('x')",
        "import PIL.Image\nPIL.Image.open('x')",
        "from PIL import Image as I\nI.open(p)",
        "import subprocess\nsubprocess.run(['x'])",
        "import subprocess as sp\nsp.Popen(['x'])",
        "from subprocess import run as go\ngo(['x'])",
        "import os\nos.system('x')",
        "from os import popen\npopen('x')",
        "import os\nos.execv('x', [])",
        "import torch\ntorch.load('x')",
        "from torch import load as read\nread('x')",
        "AutoModel.from_pretrained('x')",
        "type(model).from_pretrained('x')",
        "model.save_pretrained('x')",
        "import yaml\nyaml.load(text)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "def f():\n    import subprocess\n    subprocess.check_output('x', shell=True)",
        "archive.extractall('x')",
        "exec(text)",
    ],
)
def test_lint_catches_planted_violation(source):
    assert violations(source)
    assert not allowed("omnirl/rewards/x.py", violations(source)[0])


@pytest.mark.parametrize(
    "source",
    [
        "open('x')",
        "open('x', 'rb')",
        "path.open('rb')",
        "path.open(encoding='utf-8')",
        "from omnirl.io import files\nfiles.write_text(p, 'x')",
        "from omnirl.io.files import write_bytes\nwrite_bytes(p, b'')",
        "from subprocess import Popen\ndef f(p: Popen[str]) -> None: ...",
        "from omnirl.io import images\nimages.load_image(p)",
        "import yaml\nyaml.safe_dump({})",
    ],
)
def test_lint_lets_reading_and_own_writers_pass(source):
    assert violations(source) == []
