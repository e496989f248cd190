"""The stage `report`: `reports/page.html` from whatever the other stages left, whatever the verdict was.

Holds no time, run id, host or path of this machine; `omnirl.report.summary` writes what has those.
"""

import logging
from pathlib import Path
from typing import Any

from omnirl.config import Params
from omnirl.io import files
from omnirl.report import page
from omnirl.report.inputs import read_evidence
from omnirl.schema import layout

logger = logging.getLogger(__name__)


def run(params: Params, root: Path) -> dict[str, Any]:
    """Write `reports/page.html` below `root`; returns `{"page", "verdict", "bytes"}`.

    Raises:
        DataError: `reports/gate.json` is missing, or a report is not what its stage writes.
        OmniRLError: the page cannot be written.
    """
    evidence = read_evidence(params, root)
    text = page.render(evidence)
    files.write_text(root / layout.PAGE, text)
    size = len(text.encode())
    logger.info("report: %s, %.1f MB, verdict %s", layout.PAGE, size / 1e6, evidence.gate.get("verdict"))
    return {"page": layout.PAGE, "verdict": evidence.gate.get("verdict"), "bytes": size}
