"""The Hub's module costs no torch until something must be trained."""

import sys

from omnirl.io.processes import run


def test_importing_the_hub_loads_no_torch():
    code = "import sys, omnirl.demo.hub; print('torch' in sys.modules)"
    assert run([sys.executable, "-c", code]).stdout.strip() == "False"
