"""`bootstrap.py` and the Makefile: one sentence where set-up cannot work, nothing done where it need not."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The module, at home in a folder with its own (empty) `.venv`."""
    for name in ("pyproject.toml", "constraints.txt", "bootstrap.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", tmp_path / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_too_old_python_is_one_sentence(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "OLDEST", (3, 99))
    with pytest.raises(SystemExit, match=r"^set-up: Python 3\.99 or newer is needed, and this is 3\.\d+; install one"):
        bootstrap.set_up()
    assert not bootstrap.VENV.exists()


def test_a_current_environment_is_left_alone(bootstrap, monkeypatch):
    bootstrap.VENV.mkdir()
    bootstrap.STAMP.write_text(bootstrap.fingerprint())
    monkeypatch.setattr(bootstrap, "call", lambda *_, **__: pytest.fail("a program was started"))
    bootstrap.set_up()
    assert bootstrap.is_current()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "bootstrap.py"])
def test_a_changed_file_makes_the_environment_stale(bootstrap, name):
    bootstrap.VENV.mkdir()
    bootstrap.STAMP.write_text(bootstrap.fingerprint())
    assert bootstrap.is_current()
    with (bootstrap.ROOT / name).open("a") as handle:
        handle.write("\n# more\n")
    assert not bootstrap.is_current()


def test_an_environment_made_elsewhere_is_not_used(bootstrap):
    programs = bootstrap.VENV / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "pip").write_text("#!/somewhere/else/.venv/bin/python\n")
    assert not bootstrap.runs()
    (programs / "pip").write_text(f"#!{programs}/python\n")
    assert bootstrap.runs()


def test_failed_installation_is_one_sentence_and_leaves_no_stamp(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "make_venv", bootstrap.VENV.mkdir)
    monkeypatch.setattr(bootstrap, "call", lambda *_, **__: False)
    with pytest.raises(SystemExit, match="^set-up: the packages could not be installed; the lines above say why"):
        bootstrap.set_up()
    assert not bootstrap.is_current()


def test_uv_learns_pips_index(bootstrap, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/index")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    assert bootstrap.uv_environment()["UV_DEFAULT_INDEX"] == "http://127.0.0.1:9/index"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/own")
    assert bootstrap.uv_environment()["UV_DEFAULT_INDEX"] == "http://127.0.0.1:9/own"


def test_system_programs_are_named_where_they_cannot_be_installed(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "SYSTEM", [("a thing, for a test", ["no-such-program"], "thing")])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bootstrap.system_deps()
    said = capsys.readouterr().out
    assert "apt-get install thing" in said
    assert "not installed: a thing, for a test (package thing); tests that need it are skipped" in said


def test_every_target_sets_up_first():
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # `make test` is a make too
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    first, *rest = done.stdout.splitlines()
    assert first.endswith(" bootstrap.py")
    assert rest == [".venv/bin/omnirl demo"]
