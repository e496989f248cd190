"""The only door for weights and processors: local folders, safetensors, no code from the folder.

Whatever the folder holds, nothing in it is executed and nothing is downloaded. Saving is atomic
and leaves only what loading needs, so equal weights give an equal digest.
"""

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.utils import logging as transformers_logging

from omnirl import config
from omnirl.errors import ModelError
from omnirl.io import files
from omnirl.models import families

logger = logging.getLogger(__name__)
transformers_logging.disable_progress_bar()

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npy", ".npz")
"""Endings of weight files that can hold code or are read by libraries that execute it."""
_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
"""What transformers raises on folders that are damaged or of an unknown form."""


def check_folder(folder: Path, model: config.Model) -> None:
    """Refuse a model folder before any library opens it.

    Raises:
        ModelError: no folder, no `config.json`, no safetensors, pickled weights, code of its own, or another
            architecture than `model.family`; names the file and what to do.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; run the stage that makes it")
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix.lower() in PICKLED:
            raise ModelError(f"{path}: pickled weights can run code and are not loaded; convert them to safetensors")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so this is not a complete model (an adapter must be merged first)")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: no *.safetensors file, so there are no weights to load")
    content = files.read_json(folder / "config.json")
    if not isinstance(content, dict) or "auto_map" in content:
        raise ModelError(f"{folder / 'config.json'}: asks for code of its own (auto_map), which is never run")
    family = families.get(model.family)
    if content.get("model_type") != family.model_type:
        raise ModelError(
            f"{folder / 'config.json'}: model_type is {content.get('model_type')!r}, "
            f"but model.family {family.name} means {family.model_type!r}; correct params.yaml"
        )


def choose_attention(model: config.Model) -> str:
    """Name of the attention to use: `auto` means flash-attention 2 on a GPU that has it, else SDPA."""
    if model.attention != "auto":
        return model.attention
    flash = torch.cuda.is_available() and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if flash and model.dtype != "float32" else "sdpa"


def load_model(folder: Path, model: config.Model) -> PreTrainedModel:
    """The model in `folder`, every weight read from its safetensors files.

    Args:
        folder: a local folder as `save_model` or a Hub repository leaves it.
        model: section `model` of `params.yaml`: family, dtype, attention.

    Raises:
        ModelError: as `check_folder`; damaged files; weights that are missing or of another shape.
    """
    check_folder(folder, model)
    attention = choose_attention(model)
    try:
        answer: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=getattr(torch, model.dtype),
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        loaded, info = answer
    except (*_LOAD_ERRORS, RuntimeError) as error:
        raise ModelError(f"{folder}: cannot be loaded ({_first_line(error)})") from error
    if problems := [*info["missing_keys"], *info["mismatched_keys"]]:
        raise ModelError(f"{folder}: {len(problems)} weights are missing or of another shape, first {problems[0]}")
    if info["unexpected_keys"]:
        logger.warning("%s: %d weights are not used by %s", folder, len(info["unexpected_keys"]), type(loaded).__name__)
    logger.info("%s: %s, %s, attention %s", folder.name, type(loaded).__name__, model.dtype, attention)
    return loaded


def load_processor(folder: Path, model: config.Model) -> ProcessorMixin:
    """Tokenizer and image processor of `folder`, padding on the left, pixel bounds as in `model`.

    Raises:
        ModelError: no folder, code of its own, or unreadable files.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; run the stage that makes it")
    try:
        processor = AutoProcessor.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, padding_side="left"
        )
    except _LOAD_ERRORS as error:
        raise ModelError(f"{folder}: its processor cannot be loaded ({_first_line(error)})") from error
    if not isinstance(processor, ProcessorMixin):
        raise ModelError(f"{folder}: holds no image processor (preprocessor_config.json or processor_config.json)")
    processor.tokenizer.padding_side = "left"
    _set_pixel_bounds(processor.image_processor, model)
    return processor


def restore_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights of the checkpoint `folder` into `model`, through the key mapping of its class.

    Raises:
        ModelError: damaged, missing or foreign weights; the model is then not to be used.
    """
    try:
        saved = type(model).from_pretrained(
            folder, dtype=model.dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
        model.load_state_dict(saved.state_dict(), strict=True)
    except (*_LOAD_ERRORS, RuntimeError) as error:
        raise ModelError(f"{folder}: its weights cannot be restored ({_first_line(error)})") from error


def save_model(
    model: PreTrainedModel, processor: ProcessorMixin, folder: Path, *, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write weights (safetensors), config and processor to `folder`, all or nothing; no paths, no times.

    Args:
        model: its own weights are written unless `weights` are given.
        processor: tokenizer, image processor and chat template.
        folder: replaced if it exists.
        weights: gathered weights, where the model holds only a share of them (ZeRO-3).

    Raises:
        OmniRLError: the disk is full or the folder cannot be made; an older model there is untouched.
    """
    with files.atomic_folder(folder) as place:
        try:
            model.save_pretrained(place, state_dict=weights)
        except SafetensorError as error:  # a full disk under another name
            raise OSError(_first_line(error)) from error
        processor.save_pretrained(place)
        for path in place.rglob("*"):
            if path.name in ("README.md", "training_args.bin"):
                path.unlink()


def digest(folder: Path) -> str:
    """Hex sha256 over all files of a model folder: the identity of a model."""
    return files.sha256_tree(folder)


def digest_of(folder: Path, model: config.Model) -> str:
    """`digest` of a folder that `check_folder` finds usable; raises as it."""
    check_folder(folder, model)
    return digest(folder)


def _set_pixel_bounds(image_processor: Any, model: config.Model) -> None:
    bounds = {"shortest_edge": model.min_pixels, "longest_edge": model.max_pixels}
    if any(v is not None for v in bounds.values()):
        old = {k: image_processor.size[k] for k in bounds}
        image_processor.size = {k: old[k] if v is None else v for k, v in bounds.items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
