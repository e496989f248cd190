"""What tracked files must not hold: machine paths, addresses of package registries, loose versions."""

import re
import subprocess
from pathlib import Path

import pytest

from omnirl.io.files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".png", ".jpg", ".zip", ".gz", ".parquet", ".safetensors", ".woff2"}
PATTERNS = {
    "a path of one machine": r"(?<![\w./-])/(?:work|root|home/\w+|Users/\w+|opt/\w+|tmp/\w+)/[\w.]+",
    "the address of a package registry": r"https?://[^\s\"')]*(?:pypi|pythonhosted|simple/|jfrog|nexus|devpi|artifactory)",
    "an index option": r"(?:--(?:extra-)?index[-]url|--find-links|--trusted-host)[ =]",
}


def tracked() -> list[Path]:
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("git: not a Git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", PATTERNS)
def test_no_tracked_file_holds(what):
    pattern = re.compile(PATTERNS[what])
    found = []
    for path in tracked():
        if path.suffix in SKIPPED or path.resolve() == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found, found[:10]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of one machine", "see " + "/home/" + "someone/data"),
        ("a path of one machine", '"' + "/tmp/" + 'x/y.json"'),
        ("the address of a package registry", "https://" + "pypi.org/simple/torch"),
        ("an index option", "pip install --extra-index" + "-url x"),
    ],
)
def test_patterns_catch_planted_text(what, line):
    assert re.search(PATTERNS[what], line)


def test_constraints_are_exact_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    bad = [line for line in lines if line and not re.fullmatch(r"[A-Za-z0-9][\w.-]*==[\w.+!]+", line)]
    assert not bad
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines if line]
    assert len(set(names)) == len(names)


def test_the_lower_levels_of_ci_are_the_documented_commands():
    text = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^make .*$", text, flags=re.M) == ["make system-deps", "make test", "make demo"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_one_deployment_is_weekly_and_paused():
    deployments = read_yaml(ROOT / "prefect.yaml")["deployments"]
    assert [(d["name"], d["entrypoint"], d["paused"]) for d in deployments] == [
        ("weekly", "flows/post_training.py:post_training", True)
    ]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", deployments[0]["schedules"][0]["cron"])
