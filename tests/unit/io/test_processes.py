"""Children get a clean environment and never outlive what started them."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from omnirl.errors import OmniRLError, ProcessError
from omnirl.io import processes
from omnirl.io.locks import folder_lock


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_git_and_prefect_variables_do_not_reach_a_child(monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere")
    done = processes.run(
        [sys.executable, "-c", "import os; print([k for k in os.environ if k[:4] in ('GIT_', 'PREF')])"]
    )
    assert done.stdout.strip() == "[]"


def test_a_failed_program_is_named_with_its_last_words():
    with pytest.raises(ProcessError, match="exit code 3: boom"):
        processes.run([sys.executable, "-c", "import sys; sys.stderr.write('boom\\n'); sys.exit(3)"])
    with pytest.raises(ProcessError, match="no-such-program: program not found"):
        processes.run(["no-such-program"])
    with pytest.raises(ProcessError, match="no end after"):
        processes.run([sys.executable, "-c", "import time; time.sleep(30)"], timeout_s=0.3)


def test_an_interrupted_stream_ends_the_whole_process_tree():
    code = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(p.pid, flush=True); time.sleep(60)"
    pids = []

    def on_line(line):
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.stream([sys.executable, "-c", code], on_line=on_line)
    assert wait_until(lambda: gone(pids[0]))


def test_kill_9_of_the_parent_ends_the_child():
    code = (
        "import sys; from omnirl.io import processes\n"
        "p = processes.start([sys.executable, '-c', 'import time; time.sleep(60)'])\nprint(p.pid, flush=True)\np.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: gone(child))


def test_a_locked_folder_names_its_holder(tmp_path):
    with folder_lock(tmp_path, purpose="training"):
        code = f"from pathlib import Path; from omnirl.io.locks import folder_lock\nwith folder_lock(Path({str(tmp_path)!r}), purpose='training'): pass"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"training is already running there (process {os.getpid()})" in done.stderr
    with folder_lock(tmp_path, purpose="training"):
        pass
    with pytest.raises(OmniRLError), folder_lock(tmp_path, purpose="a"), folder_lock(tmp_path, purpose="b"):
        pass
