"""The real pipeline, made very small, through both doors: the flow, and `dvc repro` alone.

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
def by_flow(tmp_path_factory) -> Checkout:
    """A checkout after one `omnirl demo`."""
    checkout = make_checkout(tmp_path_factory.mktemp("flow"))
    make_small(checkout)
    done = checkout.run("omnirl", "demo", timeout_s=1200)
    assert done.code == 0, done.text
    assert RAN.findall(done.text) == list(STAGES)
    assert "Traceback" not in done.text
    assert checkout.alive() == []
    return checkout


def outputs(checkout: Checkout) -> dict[str, str]:
    """Path -> md5 of every output in dvc.lock."""
    stages = read_yaml(checkout.root / "dvc.lock")["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def summary(checkout: Checkout) -> dict:
    return json.loads((checkout.root / layout.SUMMARY).read_text())


def test_flow_leaves_a_whole_summary_and_a_clean_checkout(by_flow):
    written = summary(by_flow)
    assert {"run_id", "preset", "stages", "evaluation", "verdict", "reasons", "version", "champion"} <= set(written)
    assert {name: stage["status"] for name, stage in written["stages"].items()} == dict.fromkeys(STAGES, "ran")
    assert {"rec_in_domain", "rec_out_of_domain", "multi_image", "generative"} <= set(written["evaluation"])
    assert (by_flow.root / written["page"]).is_file()
    assert (by_flow.root / layout.RUNS / written["run_id"] / "page.html").is_file()
    assert by_flow.git("status", "--porcelain") == "?? dvc.lock\n"
    assert written["version"] in by_flow.git("tag").split()


def test_outputs_hold_no_run_id_and_no_absolute_path(by_flow):
    words = [summary(by_flow)["run_id"].encode(), str(by_flow.root).encode()]
    for folder in ("data", "models", "reports"):
        for path in (by_flow.root / folder).rglob("*"):
            if path.is_file() and path != by_flow.root / layout.SUMMARY:
                content = path.read_bytes()
                assert not any(word in content for word in words), path


def test_after_the_flow_dvc_runs_no_stage_and_leaves_its_lock_byte_for_byte(by_flow):
    before = (by_flow.root / "dvc.lock").read_bytes()
    done = by_flow.run("dvc", "repro")
    assert done.code == 0, done.text
    assert (SKIPPED.findall(done.text), RAN.findall(done.text)) == (list(STAGES), [])
    assert (by_flow.root / "dvc.lock").read_bytes() == before


def test_metrics_and_plots_are_shown(by_flow):
    shown = by_flow.run("dvc", "metrics", "show", "--json")
    metrics = json.loads(shown.text)[""]["data"][layout.EVAL_METRICS]["data"]
    assert set(metrics) == {"challenger", "champion"}
    plots = by_flow.run("dvc", "plots", "show", "--out", str(by_flow.root.parent / "plots"))
    assert plots.code == 0, plots.text
    page = (by_flow.root.parent / "plots/index.html").read_text()
    for title in ("warm start, loss", "GRPO, reward and its parts", "GRPO, completion length in tokens"):
        assert title in page
    assert by_flow.git("status", "--porcelain") == "?? dvc.lock\n"


def test_outputs_travel_through_a_remote(by_flow, tmp_path):
    """Push from one checkout, pull in another that has the same commit and dvc.lock and nothing else."""
    other = _sibling(by_flow, tmp_path)
    for checkout in (by_flow, other):
        checkout.run("dvc", "remote", "add", "--local", "-f", "-d", "store", str(tmp_path / "store"))
    pushed = by_flow.run("dvc", "push")
    assert pushed.code == 0, pushed.text
    shutil.copy2(by_flow.root / "dvc.lock", other.root / "dvc.lock")
    pulled = other.run("dvc", "pull")
    assert pulled.code == 0, pulled.text
    for folder in ("data", "models"):
        assert sha256_tree(other.root / folder) == sha256_tree(by_flow.root / folder)
    assert other.run("dvc", "status").lines[-1] == "Data and pipelines are up to date."


def test_after_dvc_alone_the_flow_has_nothing_to_do(by_flow, tmp_path):
    """In a second checkout that shares DVC's cache: what is known is restored, `register` runs, the flow is idle."""
    other = _sibling(by_flow, tmp_path)
    other.run("dvc", "cache", "dir", "--local", str(by_flow.root / ".dvc/cache"))
    done = other.run("dvc", "repro")
    assert done.code == 0, done.text
    assert "register" in RAN.findall(done.text)  # never from the run-cache: its real output is a tag of this repository
    assert summary(by_flow)["version"] in other.git("tag").split()
    assert outputs(other) == outputs(by_flow)
    _flow_has_nothing_to_do(other)


@pytest.mark.slow
def test_dvc_alone_does_the_whole_job_in_a_fresh_clone(by_flow, tmp_path):
    other = _sibling(by_flow, tmp_path)
    done = other.run("dvc", "repro", timeout_s=1200)
    assert done.code == 0, done.text
    assert RAN.findall(done.text) == list(STAGES)
    assert outputs(other) == outputs(by_flow)  # the same seed, one thread: the same bytes
    assert {stage["status"] for stage in summary(other)["stages"].values()} == {"ran"}
    _flow_has_nothing_to_do(other)


def _flow_has_nothing_to_do(checkout: Checkout) -> None:
    before = (checkout.root / "dvc.lock").read_bytes()
    done = checkout.run("omnirl", "demo")
    assert done.code == 0, done.text
    assert (SKIPPED.findall(done.text), RAN.findall(done.text)) == (list(STAGES), [])
    assert (checkout.root / "dvc.lock").read_bytes() == before
    assert {stage["status"] for stage in summary(checkout)["stages"].values()} == {"cached"}
    assert "nothing to do" in done.text
    assert checkout.alive() == []


def _sibling(checkout: Checkout, folder: Path) -> Checkout:
    """A clone of the checkout's commit, without its tags: nothing has run in it."""
    checkout.git("clone", "-q", "--no-tags", str(checkout.root), str(folder / "checkout"))
    (folder / "home").mkdir()
    return Checkout(folder / "checkout", {"HOME": str(folder / "home")})
