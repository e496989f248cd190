"""What SFT and GRPO trainers share: checkpoints that can be trusted, and no traffic.

A mixin to put before a TRL trainer class. Each override names the method it replaces and why; the
tests of this module fail when the reason has gone.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from accelerate.utils import DistributedType
from safetensors import SafetensorError
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME

from omnirl.errors import TrainingError
from omnirl.models.loading import restore_weights
from omnirl.train import checkpoints

if TYPE_CHECKING:
    from transformers import Trainer as _Upstream
else:
    _Upstream = object  # a mixin: the trainer it is put before brings the rest


_NO_SPACE = ("No space left", "File too large", "Disk quota", "unexpected pos")
"""What a full disk is called by the operating system, safetensors and torch's zip writer."""


def is_full_disk(error: Exception) -> bool:
    """Whether `error` says that there is no room to write."""
    return any(text in str(error) for text in _NO_SPACE)


def first_line(error: Exception) -> str:
    """The first line of an error that may go on for pages."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


class Resumable(_Upstream):
    """Checkpoints go to `scratch` through `checkpoints.publish`; weights come back through `models.loading`."""

    scratch: Path
    """Where published checkpoints stand; set it before training."""

    def save_extras(self, folder: Path) -> None:
        """What the trainer must keep beside its own state; nothing here."""

    def load_extras(self, folder: Path) -> None:
        """Read back what `save_extras` wrote."""

    def _send_telemetry(self) -> None:
        """Replaces `_BaseTrainer._send_telemetry` of TRL, which calls the Hub: training uses no network."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Replaces `_BaseTrainer.create_model_card` of TRL: the registry writes the card, from evidence."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Replaces `Trainer._save_checkpoint`, which writes in place, so that a kill leaves half a checkpoint."""
        step = self.state.global_step
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, SafetensorError, RuntimeError) as error:
            if not is_full_disk(error):
                raise
            raise TrainingError(
                f"the checkpoint of step {step} cannot be written below {self.scratch} ({first_line(error)}); "
                "free some space and run the same command again, it goes on from the checkpoint before"
            ) from error
        work = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{step}"
        self.save_extras(work)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            (work / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle with paths in it, read by nobody
            checkpoints.publish(work, self.scratch, step)
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Replaces `Trainer._load_from_checkpoint`, which compares raw key names.

        Checkpoints of Qwen2-VL and Qwen2.5-VL are written under their older key names; upstream
        then loads no weight at all and only warns.
        """
        model = self.model if model is None else model
        special = hasattr(model, "peft_config") or self.is_deepspeed_enabled or self.is_fsdp_enabled
        if special:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore_weights(model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Replaces `Trainer._load_optimizer_and_scheduler`: the last thing it restores, so extras follow it."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.load_extras(Path(checkpoint))

    def train_or_resume(self) -> int:
        """Train to the end, from the newest complete checkpoint where there is one; returns the step it came from."""
        checkpoint = checkpoints.newest_complete(self.scratch)
        if checkpoint is None:
            self.train()
            return 0
        step = int(checkpoint.name.removeprefix("step-"))
        checkpoints.logger.info("going on from step %d of %d", step, self.args.max_steps)
        if step < self.args.max_steps:
            self.train(resume_from_checkpoint=str(checkpoint))
        else:
            self._load_from_checkpoint(str(checkpoint))
            self.state = TrainerState.load_from_json(os.path.join(checkpoint, TRAINER_STATE_NAME))  # noqa: PTH118
            self.load_extras(checkpoint)
        return step

    def whole_weights(self) -> dict[str, Any] | None:
        """All weights on this process where each process holds a share (DeepSpeed); else None."""
        if self.accelerator.distributed_type != DistributedType.DEEPSPEED:
            return None
        return cast(dict[str, Any], self.accelerator.get_state_dict(self.model_wrapped))
