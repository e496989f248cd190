"""The registry with the real DVC: bytes come back from cache and remote, GTO and DVC read our tags, traps are refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omnirl.errors import RegistryError
from omnirl.io.files import sha256_tree
from omnirl.registry import checkout as fetching
from omnirl.registry.store import Registry

REPO = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STAGES = """\
stages:
  sft:
    cmd: mkdir -p models/sft/sub && echo weak > models/sft/weights && echo '{}' > models/sft/sub/config.json
    outs: [models/sft]
  train:
    cmd: mkdir -p models/grpo/sub && cp answer models/grpo/weights && echo '{}' > models/grpo/sub/config.json
    deps: [answer, models/sft]
    outs: [models/grpo]
  evaluate:
    cmd: python judge.py
    params: [evaluate]
    deps: [judge.py, models/grpo, models/sft]
    outs: [reports/eval.json, reports/gate.json]
    metrics: [reports/metrics.json]
  register:
    cmd: omnirl register
    params: [register, evaluate]
    deps: [models/grpo, models/sft, reports/eval.json, reports/gate.json]
    outs:
      - reports/registration.json:
          persist: true
"""
JUDGE = """\
import json
from pathlib import Path
from omnirl.config import load_params
from omnirl.io.files import sha256_tree
from omnirl.registry.checkout import materialise

label = load_params(Path("params.yaml")).evaluate.champion
folder = Path("models/sft") if label == "warm-start" else materialise(Path.cwd(), label).folder
models = {"champion": {"label": label, "digest": sha256_tree(folder)}}
models["challenger"] = {"label": "challenger", "digest": sha256_tree(Path("models/grpo"))}
Path("reports").mkdir(exist_ok=True)
Path("reports/eval.json").write_text(json.dumps({"fingerprint": {}, "models": models, "sets": {}}))
gate = {"verdict": "promote", "reasons": ["better"], "first_minimum_met": True, "sets": {}, **models}
Path("reports/gate.json").write_text(json.dumps(gate))
Path("reports/metrics.json").write_text(json.dumps({"challenger": {"rec": 0.9}, "champion": {"rec": 0.5}}))
"""


class Project:
    """A checkout with DVC, a shared remote, and programs run as a user would run them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        env = {
            **os.environ,
            "PATH": path,
            "DVC_NO_ANALYTICS": "1",
            "OMNIRL_RUN_ID": "run-1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(argv, cwd=self.root, env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def answer(self, text: str) -> None:
        (self.root / "answer").write_text(f"{text}\n")


def commit(project: Project, message: str) -> None:
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", message)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project in which `dvc repro` ran once, with promote."""
    base = tmp_path_factory.mktemp("registry")
    project = Project(base / "project")
    project.root.mkdir()
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")
    project.run("dvc", "config", "core.check_update", "false")
    project.run("dvc", "remote", "add", "-d", "store", str(base / "remote"))
    shutil.copy(REPO / "params.yaml", project.root)
    (project.root / "dvc.yaml").write_text(STAGES)
    (project.root / "judge.py").write_text(JUDGE)
    (project.root / ".gitignore").write_text("/models/\n/reports/\n/runs/\n/.omnirl/\n")
    project.answer("strong")
    commit(project, "first")
    project.run("dvc", "repro", "-q")
    return project


@pytest.fixture
def project(trained, tmp_path):
    """A copy of `trained` for one test; the remote and its name stay."""
    shutil.copytree(trained.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_repro_registers_both_models_and_a_second_one_runs_nothing(project):
    report = json.loads((project.root / "reports/registration.json").read_text())
    assert (report["version"], report["verdict"]) == ("v0.0.2", "promote")
    assert project.run("git", "tag").stdout.split() == ["tiny-vl#champion#1", "tiny-vl@v0.0.1", "tiny-vl@v0.0.2"]
    assert project.run("git", "status", "--porcelain").stdout.strip() == "?? dvc.lock"
    before = (project.root / "dvc.lock").read_bytes()
    assert "Running stage" not in project.run("dvc", "repro").stdout
    assert (project.root / "dvc.lock").read_bytes() == before


def test_the_version_holds_the_lock_as_it_stood_before_the_stage(project):
    held = project.run("git", "show", "tiny-vl@v0.0.2:dvc.lock").stdout
    now = (project.root / "dvc.lock").read_text()
    assert "  register:" not in held
    assert now.startswith(held)


def test_recorded_hash_is_the_one_of_dvc(project):
    lock = project.run("git", "show", "tiny-vl@v0.0.2:dvc.lock").stdout
    record = Registry(project.root).version("tiny-vl@v0.0.2").record
    assert record.dvc.endswith(".dir")
    assert f"md5: {record.dvc}" in lock


def test_gto_and_dvc_read_versions_and_title(project):
    shown = json.loads(project.run("gto", "show", "--json").stdout)
    assert shown["tiny-vl"]["version"] == "v0.0.2"
    assert shown["tiny-vl"]["stage"]["champion"] == "v0.0.2"
    project.run("dvc", "artifacts", "get", ".", "tiny-vl", "--stage", "champion", "-o", "by-title")
    project.run("dvc", "artifacts", "get", ".", "tiny-vl", "--rev", "v0.0.1", "-o", "by-version")
    assert sha256_tree(project.root / "by-title") == sha256_tree(project.root / "models/grpo")
    assert sha256_tree(project.root / "by-version") == sha256_tree(project.root / "models/sft")


def test_gto_follows_a_rollback_made_in_the_same_second(project):
    registry = Registry(project.root)
    registry.promote("tiny-vl@v0.0.1", why="x")
    registry.rollback("tiny-vl", why="y")
    registry.rollback("tiny-vl", why="z")
    shown = json.loads(project.run("gto", "show", "--json").stdout)
    assert shown["tiny-vl"]["stage"]["champion"] == registry.champion("tiny-vl").version == "v0.0.1"


def test_materialised_model_is_the_recorded_one_and_is_used_again(project, monkeypatch):
    for label, path in (("tiny-vl@v0.0.1", "models/sft"), ("tiny-vl@v0.0.2", "models/grpo")):
        champion = fetching.materialise(project.root, label)
        assert champion.label == label
        assert champion.folder == project.root / ".omnirl/champions" / label
        assert champion.digest == sha256_tree(champion.folder) == sha256_tree(project.root / path)
    monkeypatch.setattr(fetching, "dvc_program", lambda: "/bin/false")
    assert fetching.materialise(project.root, "tiny-vl@v0.0.2") == champion
    (champion.folder / "weights").write_text("damaged")
    with pytest.raises(RegistryError, match="cannot be fetched"):
        fetching.materialise(project.root, "tiny-vl@v0.0.2")
    monkeypatch.undo()
    assert sha256_tree(fetching.materialise(project.root, "tiny-vl@v0.0.2").folder) == champion.digest


def test_next_run_is_compared_with_the_pinned_champion_and_takes_the_title(project):
    project.run("omnirl", "registry", "pin")
    project.answer("stronger")
    project.run("dvc", "repro", "-q")
    registry = Registry(project.root)
    champion = registry.champion("tiny-vl")
    assert (champion.version, champion.record.compared_with.label) == ("v0.0.3", "tiny-vl@v0.0.2")
    assert champion.record.digest == sha256_tree(project.root / "models/grpo")


def test_old_parameters_again_give_the_same_output_and_no_new_version(project):
    first = (project.root / "reports/registration.json").read_bytes()
    project.answer("stronger")
    project.run("dvc", "repro", "-q")
    assert json.loads((project.root / "reports/registration.json").read_text())["version"] == "v0.0.3"
    project.answer("strong")
    project.run("dvc", "repro", "-q")
    assert (project.root / "reports/registration.json").read_bytes() == first
    assert len(Registry(project.root).versions("tiny-vl")) == 3


def test_a_fresh_clone_gets_every_version_from_the_remote(project, tmp_path):
    commit(project, "lock")
    project.run("dvc", "push", "-q", "--all-tags")
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "-q", str(project.root), str(clone.root))
    for label, path in (("tiny-vl@v0.0.1", "models/sft"), ("tiny-vl@v0.0.2", "models/grpo")):
        assert fetching.materialise(clone.root, label).digest == sha256_tree(project.root / path)


@pytest.mark.slow
def test_without_cache_and_remote_it_is_one_clear_sentence(project):
    project.run("dvc", "remote", "modify", "store", "url", "nowhere")
    shutil.rmtree(project.root / ".dvc/cache")
    with pytest.raises(RegistryError, match=r"tiny-vl@v0\.0\.2: its model cannot be fetched"):
        fetching.materialise(project.root, "tiny-vl@v0.0.2")
    assert not list((project.root / ".omnirl/champions").iterdir())


@pytest.mark.slow
def test_damaged_cache_is_found_before_use(project):
    for file in (project.root / ".dvc/cache/files/md5").rglob("*"):
        if file.is_file() and file.read_bytes() == b"strong\n":
            file.chmod(0o644)
            file.write_text("STRONG\n")
            file.chmod(0o444)
    with pytest.raises(RegistryError, match=r"not the recorded model|cannot be fetched"):
        fetching.materialise(project.root, "tiny-vl@v0.0.2")
    assert not (project.root / ".omnirl/champions/tiny-vl@v0.0.2").exists()


@pytest.mark.parametrize(
    "escape",
    [
        "../../escaped",
        "{outside}",
        pytest.param("../escaped", marks=pytest.mark.slow),
        pytest.param("a/../../../escaped", marks=pytest.mark.slow),
    ],
)
def test_hostile_folder_listing_writes_nothing_outside(project, escape):
    registry, outside = Registry(project.root), project.root.parent / "escaped"
    record = registry.version("tiny-vl@v0.0.2").record
    cache = project.root / ".dvc/cache/files/md5"
    listing = json.loads((cache / record.dvc[:2] / record.dvc[2:]).read_text())
    listing[0]["relpath"] = escape.format(outside=outside)
    text = json.dumps(listing)
    evil = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    (cache / evil[:2]).mkdir(exist_ok=True)
    (cache / evil[:2] / f"{evil[2:]}.dir").write_text(text)
    lock = project.run("git", "show", "tiny-vl@v0.0.2:dvc.lock").stdout.replace(record.dvc, f"{evil}.dir")
    parent = project.run("git", "rev-parse", "tiny-vl@v0.0.2^{commit}").stdout.strip()
    tree = registry.git.tree(parent, {"dvc.lock": ("blob", registry.git.blob(lock))})
    project.run("git", "tag", "-d", "tiny-vl@v0.0.2")
    registry.git.create_tag("tiny-vl@v0.0.2", registry.git.commit(tree, parent, "evil"), "evil")
    inside = {p for p in project.root.rglob("*") if ".git/" not in str(p) and ".dvc/" not in str(p)}
    with pytest.raises(RegistryError, match=r"not the recorded model|cannot be fetched"):
        fetching.materialise(project.root, "tiny-vl@v0.0.2")
    assert not outside.exists()
    new = {p for p in project.root.rglob("*") if ".git/" not in str(p) and ".dvc/" not in str(p)} - inside
    assert new <= {project.root / ".omnirl", project.root / ".omnirl/champions"}


def test_a_version_can_be_checked_out_and_trained_further(project, tmp_path):
    """Its reports are not where DVC writes, or DVC would refuse to write files that Git tracks."""
    project.run("git", "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "tiny-vl@v0.0.2")
    tree = Project(tmp_path / "tree")
    tree.run("dvc", "cache", "dir", "--local", str(project.root / ".dvc/cache"))
    tree.run("dvc", "checkout", "-q", "models/grpo", "models/sft")
    tree.answer("stronger still")
    tree.run("dvc", "repro", "-q")
    assert json.loads((tree.root / "reports/registration.json").read_text())["version"] == "v0.0.3"


def test_unknown_version_is_one_clear_sentence(project):
    with pytest.raises(RegistryError, match=r"no such version; known: v0\.0\.1, v0\.0\.2"):
        fetching.materialise(project.root, "tiny-vl@v0.0.9")
