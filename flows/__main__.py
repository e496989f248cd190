"""`python -m flows`: run the flow once in the current folder, as a client of the server in `PREFECT_API_URL`.

Log lines read `HH:MM:SS [ 3/10] validate  message`; a failed run ends with the stage's sentence
and exit code 2, not with a traceback (the whole story stands on the run's page).
"""

import logging
import signal
import sys
from pathlib import Path

from omnirl import STAGES
from omnirl.cli import setup_logging
from omnirl.errors import OmniRLError

_PLACES = {name: f"[{number:2d}/{len(STAGES)}] {name:9}" for number, name in enumerate(STAGES, 1)}


class StageLines(logging.Formatter):
    """Time, stage, message; no tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for `record`; the summary at the end stands without time and stage."""
        name = getattr(record, "task_run_name", "")
        if name == "summary":
            return record.getMessage()
        return f"{self.formatTime(record, '%H:%M:%S')} {_PLACES.get(name, name)} {record.getMessage()}"


def is_ours(record: logging.LogRecord) -> bool:
    """Whether a task or flow of this project wrote `record`, or it is a warning of anything but Prefect's engine."""
    if Path(record.pathname).parent.name in ("tasks", "flows"):
        return True
    return record.levelno >= logging.WARNING and not record.name.startswith(("prefect.task_runs", "prefect.flow_runs"))


def main() -> int:
    """Run the flow; 0 when every stage is up to date, 2 with one sentence on stderr otherwise."""
    setup_logging()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(StageLines())
        handler.addFilter(is_ours)
    from flows.post_training import post_training

    try:
        post_training()
    except OmniRLError as error:
        sys.stderr.write(f"omnirl: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
