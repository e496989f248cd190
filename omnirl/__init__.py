"""GRPO post-training for vision-language models, with the evidence attached.

The library: plain functions and a command line. It knows nothing of the orchestrator
(`flows/`, `tasks/`) nor of the data tracker that call it.
"""

__version__ = "0.1.0"

STAGES = ("fetch", "convert", "validate", "redteam", "sft", "train", "evaluate", "gate", "register", "report")
"""The ten words, in order: stages, parameter sections, subcommands, tasks and flow steps."""
