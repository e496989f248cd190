"""Writers leave the old file or the new one; readers are strict."""

import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omnirl.errors import DataError, OmniRLError
from omnirl.io import files
from omnirl.io.rows import read_rows, write_rows
from omnirl.schema.row import Row, Size


def test_a_full_disk_leaves_the_old_file_and_one_sentence(tmp_path):
    target = tmp_path / "report.json"
    files.write_json(target, {"old": True})
    code = (
        "import resource, sys; from pathlib import Path; from omnirl.io import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"files.write_text(Path({str(target)!r}), 'x' * 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written (File too large)" in done.stderr
    assert files.read_json(target) == {"old": True}
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_full_disk_leaves_the_old_folder(tmp_path):
    target = tmp_path / "model"
    with files.atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OmniRLError, match="nothing was left half-written"), files.atomic_folder(target) as folder:
            (folder / "a").write_bytes(b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (target / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("writer", ["files.write_text(path, t)", "path.write_text(t)"], ids=["ours", "naive"])
def test_kill_9_never_leaves_half_a_file(tmp_path, writer):
    """The naive writer is the control: it must be caught torn, or the test proves nothing."""
    path = tmp_path / "f"
    code = (
        "import sys; from pathlib import Path; from omnirl.io import files\n"
        f"path = Path({str(path)!r}); texts = ['a' * 3_000_000, 'b' * 3_000_000]\n"
        "print('go', flush=True)\n"
        f"while True:\n  for t in texts: {writer}"
    )
    torn = 0
    for round_ in range(8 if "files" in writer else 25):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003 + 0.0037 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        torn += not (len(content) == 3_000_000 and len(set(content)) == 1)
    assert torn == 0 if "files" in writer else torn > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "stands twice"), ('{"a": NaN}', "NaN is not JSON"), ("[1, 2", "line 1, column"),
        ("[" * 100_000, "."), (b"\xff\xfe", "not UTF-8"),
    ],
)  # fmt: skip
def test_json_is_read_strictly(tmp_path, text, reason):
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=reason):
        files.read_json(path)


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"a": math.nan})
    assert os.listdir(tmp_path) == []


def test_a_folder_digest_sees_names_and_contents(tmp_path):
    def digest(**content):
        with files.atomic_folder(tmp_path / "m") as folder:
            for name, text in content.items():
                (folder / name).write_text(text)
        return files.sha256_tree(tmp_path / "m")

    assert digest(a="1", b="2") == digest(b="2", a="1")
    assert len({digest(a="1"), digest(a="2"), digest(b="1"), digest(a="1", b="")}) == 4


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    (tmp_path / ".report.json.0123abc.tmp").write_text("half")
    (tmp_path / "keep.tmp").write_text("mine")
    assert files.sweep_temporaries(tmp_path) == 1
    assert os.listdir(tmp_path) == ["keep.tmp"]


def test_rows_come_back_as_they_went(tmp_path):
    rows = [
        Row(uid="a/0", dataset="a", split="train", task="rec", problem="Find 猫 <image>", answer="[0, 0, 1, 1]",
            reward="rec_iou", images=("i.zip::x.png",), image_sha256=("00",), sizes=(Size(3, 4),), bbox=(0, 0, 1, 1.5),
            box_frame="original_px", cluster="x"),
        Row(uid="a/1", dataset="a", split="eval", task="generative", problem="p", answer="q", reward="unified_accuracy", thought="t"),
    ]  # fmt: skip
    write_rows(tmp_path / "r.parquet", rows)
    first = (tmp_path / "r.parquet").read_bytes()
    assert read_rows(tmp_path / "r.parquet") == rows
    write_rows(Path(tmp_path / "r.parquet"), read_rows(tmp_path / "r.parquet"))
    assert (tmp_path / "r.parquet").read_bytes() == first
