"""Set up `.venv` for this checkout, or say in one sentence why not. Standard library only, any Python 3.

`python3 bootstrap.py` makes the environment and installs the exact versions of constraints.txt;
where nothing has changed since the last time it ends at once. `python3 bootstrap.py system-deps`
installs the programs that some tests drive. It knows nothing of the pipeline.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "set-up.sha256"
OLDEST = (3, 11)
SYSTEM = [  # (what it is for, how to see that it is there, package of Debian and Ubuntu)
    ("Chromium, for the page in a real browser", ["chromium", "chromium-browser", "google-chrome"], "chromium"),
    ("a font, for the pictures of the page", ["/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"], "fonts-dejavu-core"),
    ("bubblewrap, for code in a sandbox", ["bwrap"], "bubblewrap"),
]


def say(text):
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fingerprint():
    """Hash of everything that the environment depends on: versions wanted, this interpreter, this folder."""
    total = hashlib.sha256(repr((sys.version_info[:2], str(ROOT))).encode())
    for name in ("pyproject.toml", "constraints.txt", "bootstrap.py"):
        total.update((ROOT / name).read_bytes())
    return total.hexdigest()


def is_current():
    """Whether the environment was completed for the present fingerprint."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def call(command, **options):
    """Run `command`; return whether it succeeded."""
    try:
        return subprocess.call(command, cwd=str(ROOT), **options) == 0
    except OSError:
        return False


def runs():
    """Whether `.venv` is whole, made by this Python version, and was made here (not moved or copied here)."""
    check = f"import sys, pip; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    pip = VENV / "bin" / "pip"
    here = pip.is_file() and pip.read_bytes().startswith(b"#!" + str(VENV).encode() + b"/")
    return here and call([PYTHON, "-c", check], stderr=subprocess.DEVNULL)


def make_venv():
    """Make `.venv` with pip in it; one that does not run is made anew."""
    if runs():
        return
    say("set-up: making .venv with Python {}.{}".format(*sys.version_info[:2]))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    new = [sys.executable, "-m", "venv", "--clear"]
    made = call([*new, str(VENV)], **quiet)
    if not made:  # some distributions leave ensurepip out; a pip of the system can fill the gap
        made = call([*new, "--without-pip", str(VENV)], **quiet)
        made = made and call([sys.executable, "-m", "pip", "--python", PYTHON, "install", "-q", "pip"], **quiet)
    if not made:
        sys.exit(
            "set-up: this Python cannot make an environment with pip; "
            "install its venv package (Debian, Ubuntu: apt-get install python3-venv) and run make again"
        )


def install():
    """Install the project with the exact versions: by uv where possible (minutes faster), else by pip."""
    what = ["-c", "constraints.txt", "-e", ".[dev]"]
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
    if call([*pip, "install", "-q", "-c", "constraints.txt", "uv"]):
        say("set-up: installing the versions of constraints.txt with uv")
        uv = [str(VENV / "bin" / "uv"), "pip", "install", "-q", "--python", PYTHON]
        if call(uv + what, env=uv_environment()):
            return
        say("set-up: uv did not succeed; trying pip, which takes some minutes")
    else:
        say("set-up: no uv here; installing with pip, which takes some minutes")
    if not call([*pip, "install", "-q", *what]):
        sys.exit("set-up: the packages could not be installed; the lines above say why. Run make again to go on")


def uv_environment():
    """The environment for uv, which does not read pip's variables by itself: index and certificates."""
    found = dict(os.environ)
    found.pop("VIRTUAL_ENV", None)
    if found.get("PIP_CERT"):
        found.setdefault("SSL_CERT_FILE", found["PIP_CERT"])
    index = found.get("PIP_INDEX_URL")
    if index and "UV_INDEX_URL" not in found:
        found.setdefault("UV_DEFAULT_INDEX", index)
    return found


def set_up():
    """Bring `.venv` up to date."""
    if sys.version_info < OLDEST:
        sys.exit(
            "set-up: Python {}.{} or newer is needed, and this is {}.{}; "
            "install one (or name it: make PYTHON=/path/to/python3 ...)".format(*(OLDEST + tuple(sys.version_info[:2])))
        )
    if is_current():
        return
    start = time.time()
    make_venv()
    install()
    STAMP.write_text(fingerprint())
    say(f"set-up: done in {time.time() - start:.0f} s")


def system_deps():
    """Install the missing system programs from the distribution's packages, or say which ones are missing."""
    missing = [(use, package) for use, names, package in SYSTEM if not any(map(is_there, names))]
    if not missing:
        say("system-deps: everything is there")
        return
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        call([apt, "-qq", "update"], env=quiet)
        get = [apt, "-qq", "-y", "--no-install-recommends", "install"]
        missing = [(use, package) for use, package in missing if not call([*get, package], env=quiet)]
    else:
        names = " ".join(package for _, package in missing)
        say(f"system-deps: this is installed by root on Debian or Ubuntu: apt-get install {names}")
    for use, package in missing:
        say(f"system-deps: not installed: {use} (package {package}); tests that need it are skipped")


def is_there(name):
    """Whether a program or file exists."""
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


if __name__ == "__main__":
    if sys.argv[1:] == ["system-deps"]:
        system_deps()
    else:
        set_up()
