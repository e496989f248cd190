"""A real Git repository in a temporary folder, with models and reports as the stages leave them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from omnirl.config import Params, load_params
from omnirl.io.files import sha256_tree
from omnirl.registry.contents import folder_md5

REPO = Path(__file__).parents[3]
DVC_YAML = """\
# stages
stages:
  train:
    cmd: "true"
    outs: [models/grpo, models/sft]

artifacts:
  tiny-vl:
    path: models/grpo
    type: model
    desc: the candidate
  other:
    path: other
    type: data
"""
IDENTITY = ("-c", "user.name=A B", "-c", "user.email=a@example.org")


class Checkout:
    """A checkout of a little project: `root`, and what a test changes in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str) -> str:
        """Run git as the user would, and return its output."""
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        """Commit everything that is not ignored."""
        self.git("add", "-A")
        self.git(*IDENTITY, "commit", "-q", "-m", message)

    @property
    def params(self) -> Params:
        return load_params(self.root / "params.yaml")

    def champion_is(self, label: str) -> None:
        """Write `evaluate.champion` as a person would."""
        path = self.root / "params.yaml"
        old = self.params.evaluate.champion
        path.write_text(path.read_text().replace(f"champion: {old}", f"champion: {label}"))

    def model(self, which: str, content: str) -> str:
        """Make the model `which` (sft, grpo) and return its digest."""
        folder = self.root / "models" / which
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "sub").mkdir(parents=True)
        (folder / "weights").write_text(content)
        (folder / "sub" / "config.json").write_text("{}")
        return sha256_tree(folder)

    def lock(self) -> None:
        """Write `dvc.lock` as DVC would."""
        outs = [
            f"    - path: models/{w}\n      hash: md5\n      md5: {folder_md5(self.root / 'models' / w)}\n"
            for w in ("grpo", "sft")
        ]
        (self.root / "dvc.lock").write_text(
            "schema: '2.0'\nstages:\n  train:\n    cmd: \"true\"\n    outs:\n" + "".join(outs)
        )

    def judge(self, verdict: str, champion: tuple[str, str] | None = None, *, first_minimum_met: bool = True) -> None:
        """Write the reports of evaluation and gate about the models that lie here."""
        label, digest = champion or ("warm-start", sha256_tree(self.root / "models/sft"))
        models = {"champion": {"label": label, "digest": digest}}
        models["challenger"] = {"label": "challenger", "digest": sha256_tree(self.root / "models/grpo")}
        sets = {"rec_in_domain": {"role": "target", "n": 300, "metric": "acc50", "champion": 0.5, "challenger": 0.9}}
        sets["rec_in_domain"] |= {"gained": 130, "lost": 10, "p": 1.25e-7, "ci95": [0.3, 0.5]}
        gate = {"verdict": verdict, "reasons": ["rec_in_domain | 0.9 > 0.5"], "alpha": 0.05, **models, "sets": sets}
        reports = {
            "eval": {"fingerprint": {}, "models": models, "sets": {}},
            "metrics": {"challenger": {}, "champion": {}},
        }
        reports["gate"] = {**gate, "first_minimum_met": first_minimum_met}
        for name, report in reports.items():
            path = self.root / "reports" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(report))

    def candidate(self, content: str, verdict: str = "promote", champion: tuple[str, str] | None = None) -> str:
        """A new candidate with everything that belongs to it; returns its digest."""
        digest = self.model("grpo", content)
        self.lock()
        self.judge(verdict, champion)
        return digest


def make_checkout(root: Path) -> Checkout:
    """An initialised repository with one commit, a warm start and a candidate."""
    root.mkdir(parents=True)
    checkout = Checkout(root)
    shutil.copy(REPO / "params.yaml", root)
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / ".gitignore").write_text("/models/\n/reports/\n/runs/\n/.omnirl/\n")
    (root / "Grüße.txt").write_text("a name that is not ASCII\n")
    (root / "code").mkdir()
    (root / "code/a.py").write_text("x = 1\n")
    checkout.git("init", "-q", "-b", "main")
    checkout.commit("first")
    checkout.model("sft", "weak")
    checkout.candidate("strong")
    return checkout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """See `make_checkout`; no global Git configuration, no identity, a fixed run id."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("OMNIRL_RUN_ID", "run-1")
    return make_checkout(tmp_path / "checkout")
