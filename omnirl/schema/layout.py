"""Where each stage leaves its files, relative to the checkout (or worktree) it works in.

The only place that spells these paths in code; `dvc.yaml` spells the same ones and a test
compares them. Nothing here touches the disk.
"""

RAW = "data/raw"
"""Fetched files, as published: one sub-folder per `fetch.datasets[].to`."""
ROWS = "data/rows"
"""One `<source name>.parquet` of canonical rows per `convert.sources[]`."""
VALID = "data/valid"
"""The rows that passed the contract, same file names, `image_sha256` and sizes filled in."""
QUARANTINE = "data/quarantine.jsonl"
"""Rows that cannot be used: `{"source", "line", "uid", "code", "reason", "stage", "row"}` per line."""
CONVERT_QUARANTINE = "data/convert_quarantine.jsonl"
"""The same form, for rows a converter could not read; `validate` copies them into QUARANTINE."""

MODEL_BASE = "models/base"
MODEL_SFT = "models/sft"
MODEL_GRPO = "models/grpo"

ROLLOUTS = "data/rollouts"
"""Flight recorder of GRPO: `train.parquet`, no times (times go to `runs/`)."""

CONVERT_REPORT = "reports/convert.json"
VALIDATE_REPORT = "reports/validate.json"
REDTEAM_REPORT = "reports/redteam.json"
SFT_REPORT = "reports/sft.json"
SFT_CURVE = "reports/sft_curve.csv"
TRAIN_REPORT = "reports/train.json"
TRAIN_CURVE = "reports/train_curve.csv"
EVAL_RECORDS = "reports/eval"
"""`champion/<set>.jsonl` and `challenger/<set>.jsonl`, one `EvalRecord` per line."""
EVAL_REPORT = "reports/eval.json"
EVAL_METRICS = "reports/metrics.json"
"""The few numbers `dvc metrics show` prints."""
GATE_REPORT = "reports/gate.json"
REGISTRATION = "reports/registration.json"
PAGE = "reports/page.html"
SUMMARY = "reports/summary.json"
"""Not a DVC output: written at the end by whatever ran the pipeline."""

RUNS = "runs"
"""`runs/<run id>/`: everything with a time, a host or an id in it."""
STATE = ".omnirl"
"""Untracked state: demo Hub (`hub/`), checkpoints (`scratch/`), Prefect home (`prefect/`), champions."""
