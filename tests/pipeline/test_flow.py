"""`omnirl demo` and `omnirl ui` around stages that take no time: interruption, refusal, crash, retry, deployment."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from omnirl import STAGES
from omnirl.errors import ConfigError, OmniRLError
from tasks._workspace import open_workspace

pytestmark = pytest.mark.timeout(900)
PROGRAMS = Path(sys.executable).parent
HOSTILE = {
    "PREFECT_API_URL": "http://127.0.0.1:9/api",
    "PREFECT_PROFILE": "nowhere",
    "PREFECT_HOME": "/nonexistent/prefect",
    "PREFECT_SERVER_API_PORT": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "GIT_DIR": "/nonexistent/git",
    "GIT_WORK_TREE": "/nonexistent",
    "GIT_INDEX_FILE": "/nonexistent/index",
}
WORKED = re.compile(r"^\S+ \[ ?\d+/10\] (\w+) .*: 1/1 \(100 %\)$", re.M)
"""Line of a stage that did its work."""


@dataclass
class Ui:
    """`omnirl ui`, running."""

    running: Any
    url: str
    auth: str

    def get(self, path: str) -> httpx.Response:
        user, _, password = self.auth.partition(":")
        return httpx.get(f"{self.url}/{path}", auth=(user, password))


@pytest.fixture(scope="module")
def ui(stand_in) -> Iterator[Ui]:
    with stand_in.running("omnirl", "ui", "--port", "0", **HOSTILE) as running:
        running.wait_for("Ctrl-C ends server and worker")
        url = re.search(r"export PREFECT_API_URL=(\S+)", running.text)[1]
        yield Ui(running, url, (stand_in.root / ".omnirl/prefect/auth").read_text().strip())


def task_states(checkout, run_id: str) -> dict[str, str]:
    """Task run name -> final state, from the server's own database."""
    database = checkout.root / ".omnirl/prefect/prefect.db"
    query = "select t.name, t.state_type from task_run t join flow_run f on t.flow_run_id = f.id where f.id = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute(query, (run_id,)).fetchall())


def test_ctrl_c_ends_everything_with_one_message(fresh_stand_in):
    checkout = fresh_stand_in
    with checkout.running("omnirl", "demo", STAND_IN="convert=sleep", **HOSTILE) as running:
        running.wait_for("convert sleeps")
        before = " | ".join(checkout.alive())  # the control: there is something to end
        assert "server start" in before
        assert "-m flows" in before
        assert "dvc repro --single-item convert" in before
        assert "omnirl convert" in before
        start = time.monotonic()
        assert running.interrupt() == 130
        assert time.monotonic() - start < 30
    assert checkout.alive() == []
    message = "omnirl: interrupted, everything is ended; run the same command again to go on"
    assert running.text.splitlines()[-1] == message
    assert running.text.count("interrupted") == 1
    assert "Traceback" not in running.text
    assert checkout.locked() == ["fetch"]
    assert not (checkout.root / ".omnirl/prefect/server.json").exists()


def test_refused_then_crashed_then_finished_with_nothing_left_for_dvc(stand_in, ui):
    """One story, since each step stands on what the one before has left; the runs use the server of `ui`."""
    _refuse(stand_in)
    _finish(stand_in)
    _nothing_left_to_do(stand_in)


def _refuse(checkout) -> None:
    """A stage that refuses its input ends the run with the stage's own sentence, and is not tried again."""
    done = checkout.run("omnirl", "demo", STAND_IN="redteam=sentence", **HOSTILE)
    assert done.code == 2
    sentence = "data/raw/x.zip: not a complete zip archive; fetch it again"
    assert done.lines[-1] == f"omnirl: the stage redteam stopped: {sentence}"
    assert "Traceback" not in done.text
    assert done.text.count("redteam   looking") == 1
    assert checkout.locked() == ["fetch", "convert", "validate"]


def _finish(checkout) -> None:
    """A stage whose process is killed is tried again; the rest follows, in order."""
    done = checkout.run("omnirl", "demo", STAND_IN="sft=crash", **HOSTILE)
    assert done.code == 0, done.text
    assert "Traceback" not in done.text
    assert "Stage 'validate' didn't change, skipping" in done.text
    assert WORKED.findall(done.text) == ["redteam", "sft", "train", "evaluate", "gate", "register", "report"]
    assert (checkout.root / ".omnirl/crashed-sft").exists()
    summary = json.loads((checkout.root / "reports/summary.json").read_text())
    cached = [name for name, stage in summary["stages"].items() if stage["status"] == "cached"]
    assert cached == ["fetch", "convert", "validate"]
    assert (checkout.root / "runs" / summary["run_id"]).is_dir()
    assert task_states(checkout, summary["run_id"]) == dict.fromkeys((*STAGES, "summary"), "COMPLETED")
    assert checkout.git("status", "--porcelain") == "?? dvc.lock\n"


def _nothing_left_to_do(checkout) -> None:
    """`dvc repro` after the flow runs no stage and leaves dvc.lock as it is; no environment is activated."""
    before = (checkout.root / "dvc.lock").read_bytes()
    done = checkout.run(str(PROGRAMS / "dvc"), "repro", PATH="/usr/bin:/bin")
    assert done.code == 0
    assert [line for line in done.lines if line.startswith("Running")] == []
    assert sum(line.endswith("didn't change, skipping") for line in done.lines) == len(STAGES)
    assert (checkout.root / "dvc.lock").read_bytes() == before


def test_deployment_exists_weekly_and_paused(ui):
    assert ".venv/bin/prefect deployment run post-training/weekly" in ui.running.text
    deployment = ui.get("deployments/name/post-training/weekly").json()
    assert (deployment["paused"], deployment["work_pool_name"]) == (True, "local")
    assert [(s["schedule"]["cron"], s["active"]) for s in deployment["schedules"]] == [("0 3 * * 0", False)]
    page = httpx.get(ui.url.removesuffix("/api"))
    assert (page.status_code, "<html" in page.text) == (200, True)


def test_server_answers_its_owner_on_this_machine_only(stand_in, ui):
    assert ui.get("admin/version").status_code == 200
    assert httpx.get(f"{ui.url}/admin/version").status_code == 401
    body = {"name": "x", "type": "process"}
    assert httpx.post(f"{ui.url}/work_pools/", json=body).status_code in (401, 403)
    user, _, password = ui.auth.partition(":")
    forged = httpx.post(f"{ui.url}/work_pools/", json=body, auth=(user, password))
    assert forged.status_code == 403  # what a browser would send for a foreign page: no token
    foreign = httpx.get(f"{ui.url}/health", headers={"Origin": "http://example.org"})
    assert "access-control-allow-origin" not in foreign.headers
    family = psutil.Process(ui.running.process.pid)
    sockets = [c for p in (family, *family.children(recursive=True)) for c in p.net_connections("inet")]
    assert {c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    home = stand_in.root / ".omnirl/prefect"
    assert (home.stat().st_mode & 0o777, (home / "auth").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_second_server_of_the_same_checkout_is_refused(stand_in, ui):
    done = stand_in.run("omnirl", "ui")
    assert done.code == 2
    assert done.lines[-1].startswith(f"omnirl: a server of this checkout is running already: {ui.url[:-4]}")


@pytest.mark.slow
def test_deployment_runs_to_its_end_through_the_worker(stand_in, ui):
    (stand_in.root / "dvc.lock").unlink(missing_ok=True)
    settings = {"PREFECT_API_URL": ui.url, "PREFECT_API_AUTH_STRING": ui.auth}
    settings["PREFECT_HOME"] = str(stand_in.root.parent / "client")
    done = stand_in.run("prefect", "deployment", "run", "post-training/weekly", "--watch", **settings)
    assert done.code == 0, done.text
    assert "Completed" in done.text
    assert stand_in.locked() == list(STAGES)


def test_ctrl_c_ends_server_and_worker(stand_in, ui):
    """The last test with `ui`, which it ends."""
    before = " | ".join(stand_in.alive())
    assert "server start" in before
    assert "worker start" in before
    log = stand_in.root / ".omnirl/prefect/server.log"
    size = len(log.read_text())  # before the end, a busy machine may make SQLite time out: logged by Prefect, harmless
    assert ui.running.interrupt() == 130
    assert stand_in.alive() == []
    assert "Traceback" not in ui.running.text
    last_words = log.read_text()[size:]
    assert "Traceback" not in last_words or "database is locked" in last_words


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_at_each_stage_the_next_run_goes_on_from_there(fresh_stand_in, stage):
    checkout = fresh_stand_in
    with checkout.running("omnirl", "demo", STAND_IN=f"{stage}=sleep") as running:
        running.wait_for(f"{stage} sleeps")
        assert running.interrupt() == 130
    assert checkout.alive() == []
    assert checkout.locked() == list(STAGES[: STAGES.index(stage)])
    done = checkout.run("omnirl", "demo")
    assert done.code == 0, done.text
    assert WORKED.findall(done.text) == list(STAGES[STAGES.index(stage) :])
    assert checkout.locked() == list(STAGES)
    assert checkout.alive() == []


@pytest.mark.parametrize("command", ["demo", "ui"])
def test_outside_a_checkout_is_one_sentence(stand_in, tmp_path, command):
    options = {"cwd": tmp_path, "env": stand_in.env(), "capture_output": True, "text": True}
    done = subprocess.run(["omnirl", command], check=False, **options)
    assert done.returncode == 2
    assert re.fullmatch(r"omnirl: .*holds no dvc\.yaml; run this from the top folder of a checkout\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_never_work_in_one_checkout(stand_in, monkeypatch):
    monkeypatch.chdir(stand_in.root)
    with (
        open_workspace("here", run_id="a") as place,
        pytest.raises(OmniRLError, match="a run of the pipeline is already running there"),
        open_workspace("here", run_id="b"),
    ):
        pass
    assert place.path("params.yaml") == stand_in.root / "params.yaml"
    with open_workspace("here", run_id="c"):  # free again
        pass


def test_a_workspace_is_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"holds no dvc\.yaml"), open_workspace("here", run_id="a"):
        pass


def test_a_wrong_parameter_is_one_sentence_before_anything_starts(fresh_stand_in):
    path = fresh_stand_in.root / "params.yaml"
    path.write_text(path.read_text().replace("\n  margin:", "\n  marign: 1\n  margin:"))
    done = fresh_stand_in.run("omnirl", "demo")
    assert done.code == 2
    assert len(done.lines) == 1
    assert re.match(r"omnirl: .*params\.yaml: unknown key redteam\.marign; did you mean margin\?", done.text)
