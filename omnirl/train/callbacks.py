"""What is seen while a trainer runs: progress lines, seconds by phase, a stop at the first NaN."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from omnirl.errors import TrainingError
from omnirl.io.progress import Progress
from omnirl.io.runlog import log_event


class Watch(TrainerCallback):
    """Progress with the latest figure and the time left; one event per step below `runs/`.

    Args:
        root: the checkout, for `runs/<run id>/events.jsonl`.
        stage: `sft` or `train`.
        figure: name in the trainer's log that is shown, e.g. `reward`.
        phases: empties and returns the seconds by phase of the step that just ended.
    """

    def __init__(
        self, root: Path, stage: str, figure: str, phases: Callable[[], dict[str, float]] | None = None
    ) -> None:
        self.root, self.stage, self.figure, self.phases = root, stage, figure, phases
        self._latest = ""
        self._progress: Progress | None = None
        self._start = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count from where training starts, which after a resume is not step 0."""
        label = f"{self.stage} from step {state.global_step}" if state.global_step else self.stage
        self._progress = Progress(label, state.max_steps - state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log the step; a checkpoint closes the window of averaged figures, so a resumed curve is the same."""
        if control.should_save:
            control.should_log = True
        if not state.is_world_process_zero:
            return
        total = time.perf_counter() - self._start
        phases = self.phases() if self.phases else {}
        seconds = {**phases, "learn": total - sum(phases.values()), "step": total}
        rounded = {name: round(value, 4) for name, value in seconds.items()}
        log_event(self.root, "train_step", stage=self.stage, step=state.global_step, seconds=rounded)
        if self._progress:
            self._progress.add(1, self._latest)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keep the latest figure; raise `TrainingError` when the loss is not a number."""
        logs = logs or {}
        if "loss" in logs and not math.isfinite(float(logs["loss"])):
            raise TrainingError(
                f"{self.stage}: the loss is {logs['loss']} at step {state.global_step}; "
                f"lower {self.stage}.learning_rate or check the data, then run the same command again"
            )
        if logs.get(self.figure) is not None:
            self._latest = f"{self.figure} {float(logs[self.figure]):.3f}"
