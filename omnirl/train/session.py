"""Before and after a trainer: the machine, frozen parts, adapters, and what a stage leaves behind."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PreTrainedModel, set_seed

from omnirl import config
from omnirl.errors import TrainingError
from omnirl.io import files
from omnirl.io.locks import folder_lock
from omnirl.models.families import Family
from omnirl.schema import layout

logger = logging.getLogger(__name__)


def is_main() -> bool:
    """Whether this process writes files: the only one, or rank 0 of several."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def only_trainer(root: Path, stage: str) -> Iterator[None]:
    """One trainer per stage and checkout; raises `OmniRLError` naming the process that holds the place."""
    lock = folder_lock(root / layout.STATE / "locks" / stage, purpose=f"the stage {stage}")
    with lock if is_main() else nullcontext():
        yield


def prepare_machine(settings: config.Trainer, stage: str) -> bool:
    """Seed everything, and make a CPU run repeatable; returns whether training runs on the CPU.

    Raises:
        TrainingError: DeepSpeed is asked for on a machine without accelerator, where it is silently not used.
    """
    cpu = not torch.cuda.is_available()
    if cpu and settings.deepspeed:
        raise TrainingError(f"{stage}.deepspeed is {settings.deepspeed}, but this machine has no GPU; set it to null")
    if cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where installed, warns that it finds no GPU
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)
            logger.info("one CPU thread, so that equal seeds give equal models; set OMP_NUM_THREADS to use more")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    warnings.filterwarnings("ignore", r".*will be removed in v6", FutureWarning)  # TRL 1.16 uses the older names
    set_seed(settings.seed)
    return cpu


def common_arguments(
    settings: config.Trainer, model: config.Model, root: Path, work: Path, cpu: bool
) -> dict[str, Any]:
    """Arguments that SFTConfig and GRPOConfig share."""
    return {
        "output_dir": str(work),
        "seed": settings.seed,
        "max_steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,  # a NaN must be seen, not averaged away
        "report_to": list(settings.report_to) or "none",
        "deepspeed": str(root / settings.deepspeed) if settings.deepspeed else None,
        "use_cpu": cpu,
        "bf16": model.dtype == "bfloat16",
        "fp16": model.dtype == "float16",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not cpu,
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }


def freeze(model: PreTrainedModel, parts: Sequence[str], family: Family) -> None:
    """Stop training `parts`: `vision` includes the merger, `language` the output layer.

    Raises:
        TrainingError: nothing would be left to train.
    """
    for part in parts:
        model.get_submodule(family.parts()[part]).requires_grad_(False)
        if part == "language" and (head := model.get_output_embeddings()) is not None:
            head.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise TrainingError(f"freeze: {', '.join(parts)} leaves nothing to train; remove one from params.yaml")


def adapter(settings: config.Trainer, family: Family) -> LoraConfig | None:
    """The low-rank adapter that `lora` asks for, on every linear layer outside the vision tower."""
    if settings.lora is None:
        return None
    return LoraConfig(
        r=settings.lora.r,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=family.lora_targets,
        task_type="CAUSAL_LM",
    )


def parameter_counts(model: Any) -> dict[str, int]:
    """How many parameters there are, and how many of them are trained."""
    found = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in found),
        "trained_parameters": sum(p.numel() for p in found if p.requires_grad),
    }


def plain(model: Any) -> PreTrainedModel:
    """The model as it is saved: adapters added into the weights they adapt, the cache that training turns off on."""
    found = model.merge_and_unload() if hasattr(model, "peft_config") else model
    found.config.use_cache = True
    return found


def write_curve(path: Path, history: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write the trainer's log as CSV and return its rows.

    Args:
        path: the file.
        history: `trainer.state.log_history`.
        columns: name in the file -> name in the log; lines without the first of them are left out.
    """
    first = next(iter(columns.values()))
    rows = [
        {"step": line["step"], **{name: _number(line.get(source)) for name, source in columns.items()}}
        for line in history
        if first in line
    ]
    files.write_csv(path, rows)
    return rows


def _number(value: Any) -> float | str:
    return "" if value is None else round(float(value), 6)
