"""The real pipeline, made very small, through both doors: `dvc repro` alone, and the flow.

Either leaves a checkout in which the other has nothing to do; what they leave is in DVC's cache and
travels through a remote. Whether the model learns is not asked here (two steps): `make demo` shows that.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from checkouts import Checkout, make_checkout

from omnirl import STAGES
from omnirl.io.files import read_yaml, sha256_tree
from omnirl.schema import layout

pytestmark = pytest.mark.timeout(1500)
SKIPPED = re.compile(r"Stage '(\w+)' didn't change, skipping")
RESTORED = re.compile(r"Stage '(\w+)' is cached - skipping run")
RAN = re.compile(r"Running stage '(\w+)'")


def make_small(checkout: Checkout) -> None:
    """Write a `params.yaml` with which all ten stages take seconds, and commit it."""
    path = checkout.root / "params.yaml"
    params = read_yaml(path)
    demo = params["fetch"]["demo"]
    demo.update(train_rows=12, weak_rows=12, eval_rows=8, broken_rows=3)
    demo["base"].update(steps=4, batch=6, warmup_steps=1)
    params["validate"]["max_quarantine_fraction"] = 0.3
    params["redteam"]["rows_per_dataset"] = 6
    params["sft"].update(steps=2, batch_size=4, save_steps=2)
    params["train"].update(steps=2, prompts_per_step=2, num_generations=2, save_steps=2)
    params["gate"]["bootstrap_samples"] = 500
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    checkout.commit()


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory) -> Checkout:
    """A checkout after one `dvc repro`, which did the whole job alone."""
    checkout = make_checkout(tmp_path_factory.mktemp("dvc"))
    make_small(checkout)
    done = checkout.run("dvc", "repro", timeout_s=1200)
    assert done.code == 0, done.text
    assert RAN.findall(done.text) == list(STAGES)
    assert "Traceback" not in done.text
    assert checkout.alive() == []
    return checkout


def summary(checkout: Checkout) -> dict:
    return json.loads((checkout.root / layout.SUMMARY).read_text())


def test_after_dvc_alone_the_flow_has_nothing_to_do_and_nor_has_dvc(by_dvc):
    before = (by_dvc.root / "dvc.lock").read_bytes()
    flow = by_dvc.run("omnirl", "demo")
    assert flow.code == 0, flow.text
    assert (SKIPPED.findall(flow.text), RAN.findall(flow.text)) == (list(STAGES), [])
    assert {stage["status"] for stage in summary(by_dvc)["stages"].values()} == {"cached"}
    assert "nothing to do" in flow.text
    assert by_dvc.alive() == []
    dvc = by_dvc.run("dvc", "repro")
    assert (SKIPPED.findall(dvc.text), RAN.findall(dvc.text)) == (list(STAGES), [])
    assert (by_dvc.root / "dvc.lock").read_bytes() == before


def test_summary_is_whole_and_the_checkout_clean(by_dvc):
    assert by_dvc.run("omnirl", "summary").code == 0
    written = summary(by_dvc)
    assert {"run_id", "preset", "stages", "evaluation", "verdict", "reasons", "version", "champion"} <= set(written)
    assert tuple(written["stages"]) == STAGES
    assert {"rec_in_domain", "rec_out_of_domain", "multi_image", "generative"} <= set(written["evaluation"])
    assert (by_dvc.root / written["page"]).is_file()
    assert (by_dvc.root / layout.RUNS / written["run_id"] / "page.html").is_file()
    assert by_dvc.git("status", "--porcelain") == "?? dvc.lock\n"
    assert written["version"] in by_dvc.git("tag").split()


def test_outputs_hold_no_run_id_and_no_absolute_path(by_dvc):
    runs = [path.name.encode() for path in (by_dvc.root / layout.RUNS).iterdir()]
    assert runs
    for folder in ("data", "models", "reports"):
        for path in (by_dvc.root / folder).rglob("*"):
            if path.is_file() and path != by_dvc.root / layout.SUMMARY:
                content = path.read_bytes()
                assert not any(word in content for word in (*runs, str(by_dvc.root).encode())), path


def test_metrics_and_plots_are_shown(by_dvc):
    shown = by_dvc.run("dvc", "metrics", "show", "--json")
    metrics = json.loads(shown.text)[""]["data"][layout.EVAL_METRICS]["data"]
    assert set(metrics) == {"challenger", "champion"}
    plots = by_dvc.run("dvc", "plots", "show", "--out", str(by_dvc.root.parent / "plots"))
    assert plots.code == 0, plots.text
    page = (by_dvc.root.parent / "plots/index.html").read_text()
    for title in ("warm start, loss", "GRPO, reward and its parts", "GRPO, completion length in tokens"):
        assert title in page
    assert by_dvc.git("status", "--porcelain") == "?? dvc.lock\n"


def test_outputs_travel_through_a_remote(by_dvc, tmp_path):
    """Push from one checkout, pull in another that has the same commit and dvc.lock and nothing else."""
    other = _sibling(by_dvc, tmp_path)
    for checkout in (by_dvc, other):
        checkout.run("dvc", "remote", "add", "--local", "-f", "-d", "store", str(tmp_path / "store"))
    pushed = by_dvc.run("dvc", "push")
    assert pushed.code == 0, pushed.text
    shutil.copy2(by_dvc.root / "dvc.lock", other.root / "dvc.lock")
    pulled = other.run("dvc", "pull")
    assert pulled.code == 0, pulled.text
    for folder in ("data", "models"):
        assert sha256_tree(other.root / folder) == sha256_tree(by_dvc.root / folder)
    assert other.run("dvc", "status").lines[-1] == "Data and pipelines are up to date."


def test_a_clone_with_the_same_cache_restores_all_but_the_registration(by_dvc, tmp_path):
    """What `register` leaves is a tag of the repository, so it works again where the tag is missing."""
    other = _sibling(by_dvc, tmp_path)
    other.run("dvc", "cache", "dir", "--local", str(by_dvc.root / ".dvc/cache"))
    done = other.run("dvc", "repro")
    assert done.code == 0, done.text
    assert RAN.findall(done.text) == ["register"]
    assert RESTORED.findall(done.text) == [stage for stage in STAGES if stage != "register"]
    assert other.git("tag") == by_dvc.git("tag") != ""
    assert (other.root / "dvc.lock").read_bytes() == (by_dvc.root / "dvc.lock").read_bytes()


@pytest.mark.slow
def test_flow_alone_does_the_whole_job_in_a_fresh_clone(by_dvc, tmp_path):
    other = _sibling(by_dvc, tmp_path)
    flow = other.run("omnirl", "demo", timeout_s=1200)
    assert flow.code == 0, flow.text
    assert RAN.findall(flow.text) == list(STAGES)
    assert {stage["status"] for stage in summary(other)["stages"].values()} == {"ran"}
    lock = (other.root / "dvc.lock").read_bytes()
    assert lock == (by_dvc.root / "dvc.lock").read_bytes()  # the same seed, one thread: the same bytes
    dvc = other.run("dvc", "repro")
    assert (SKIPPED.findall(dvc.text), RAN.findall(dvc.text)) == (list(STAGES), [])
    assert (other.root / "dvc.lock").read_bytes() == lock
    assert other.git("status", "--porcelain") == "?? dvc.lock\n"
    assert other.alive() == []


def _sibling(checkout: Checkout, folder: Path) -> Checkout:
    """A clone of the checkout's commit, without its tags: nothing has run in it."""
    checkout.git("clone", "-q", "--no-tags", str(checkout.root), str(folder / "checkout"))
    (folder / "home").mkdir()
    return Checkout(folder / "checkout", {"HOME": str(folder / "home")})
