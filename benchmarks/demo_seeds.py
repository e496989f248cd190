"""The demo for several seeds, with its control: the figures of docs/demo-results.md.

For each seed (it varies data, model, warm start and GRPO) the stages fetch ... gate run as they do
in the pipeline, in a folder of their own. The control trains GRPO from the clean base model instead
of from the weak warm start. The first seed is run a second time to compare model digests.

    .venv/bin/python benchmarks/demo_seeds.py --seeds 1 2 3 --write docs/demo-results.md
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from omnirl.config import parse_params
from omnirl.io import files, processes

REPO = Path(__file__).resolve().parents[1]
STAGES = ("fetch", "convert", "validate", "redteam", "sft", "train", "evaluate", "gate")


def prepare(folder: Path, seed: int) -> None:
    """Write `params.yaml` of the demo with all its seeds set to `seed`."""
    import yaml

    data = files.read_yaml(REPO / "presets/demo.yaml")
    data["fetch"]["demo"]["seed"] = data["sft"]["seed"] = data["train"]["seed"] = seed
    parse_params(data, where="benchmark")
    files.write_text(folder / "params.yaml", yaml.safe_dump(data, sort_keys=False))


def run(folder: Path, stages: tuple[str, ...]) -> dict[str, float]:
    """Run `stages` one after the other; returns their seconds, start of the process included."""
    seconds = {}
    for stage in stages:
        start = time.monotonic()
        code = processes.stream(
            [sys.executable, "-m", "omnirl", stage],
            cwd=folder,
            env={"OMP_NUM_THREADS": "1", "OMNIRL_RUN_ID": "benchmark", "PYTHONPATH": str(REPO)},
            on_line=lambda line: print("   ", line, flush=True),
        )
        if code:
            raise SystemExit(f"{stage} failed in {folder} (exit code {code})")
        seconds[stage] = time.monotonic() - start
    return seconds


def control(folder: Path, target: Path) -> None:
    """A copy of `folder` whose warm start is the clean base model itself."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("grpo", "eval", "scratch", "runs"))
    shutil.rmtree(target / "models/sft")
    shutil.copytree(target / "models/base", target / "models/sft")


def lines(seed: int, gate: dict) -> list[str]:
    """Rows of the results table."""
    out = []
    for name, s in gate["sets"].items():
        low, high = s["ci95"]
        out.append(
            f"| {seed} | {name} | {s['n']} | {s['champion']:.3f} | {s['challenger']:.3f} | {s['gained']} / {s['lost']} "
            f"| {s['p']:.1e} | {low:+.3f} .. {high:+.3f} |"
        )
    return out


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--write", type=Path, help="file to write; default: print")
    parser.add_argument("--keep", type=Path, help="folder to work in and keep; default: a temporary one")
    options = parser.parse_args()
    work = options.keep or Path(tempfile.mkdtemp(prefix="demo-seeds-"))
    work.mkdir(parents=True, exist_ok=True)
    table, controls, times, digests = [], [], [], []
    for index, seed in enumerate(options.seeds):
        folder = work / f"seed-{seed}"
        folder.mkdir(exist_ok=True)
        prepare(folder, seed)
        times.append((seed, run(folder, STAGES)))
        gate = files.read_json(folder / "reports/gate.json")
        table += [*lines(seed, gate), f"| {seed} | **verdict** | | | | | | {gate['verdict']} |"]
        control(folder, work / f"control-{seed}")
        run(work / f"control-{seed}", ("train", "evaluate", "gate"))
        clean = files.read_json(work / f"control-{seed}/reports/gate.json")
        controls += [*lines(seed, clean), f"| {seed} | **verdict** | | | | | | {clean['verdict']} |"]
        if index == 0:
            again = work / f"again-{seed}"
            again.mkdir(exist_ok=True)
            prepare(again, seed)
            run(again, ("fetch", "convert", "validate", "redteam", "sft", "train"))
            digests = [
                {name: files.sha256_tree(f / "models" / name) for name in ("base", "sft", "grpo")}
                for f in (folder, again)
            ]
    text = page(table, controls, times, digests)
    if options.write:
        files.write_text(options.write, text)
    else:
        print(text)
    if not options.keep:
        shutil.rmtree(work)


def page(table: list[str], controls: list[str], times: list[tuple[int, dict[str, float]]], digests: list[dict]) -> str:
    """The whole of docs/demo-results.md."""
    names = ("seed", "set", "n", "before", "after", "gained / lost", "p", "95 % interval of the gain")
    head = f"| {' | '.join(names)} |\n|" + "---|" * len(names)
    columns = " | ".join(STAGES)
    clock = [
        f"| {seed} | " + " | ".join(f"{spent[s]:.0f}" for s in STAGES) + f" | {sum(spent.values()):.0f} |"
        for seed, spent in times
    ]
    same = all(digests[0][k] == digests[1][k] for k in digests[0]) if digests else False
    digest_lines = [
        f"| {k} | `{digests[0][k][:16]}` | `{digests[1][k][:16]}` |" for k in (digests[0] if digests else {})
    ]
    return "\n".join(
        [
            "# The demo, measured",
            "",
            "Written by `.venv/bin/python benchmarks/demo_seeds.py --seeds 1 2 3 --write docs/demo-results.md` "
            f"on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; not edited by hand.",
            "",
            "A question is right when IoU > .5 (boxes) or the unified text accuracy reaches `evaluate.text_threshold`. "
            "`p` is the exact two-sided McNemar value.",
            "",
            "## Weak labels repaired by verifiable rewards",
            "",
            "*before* = the SFT warm start on weak labels, *after* = the same model after GRPO.",
            "",
            head,
            *table,
            "",
            "## Control: GRPO from the clean base model",
            "",
            "The same training from a start without weak labels: GRPO repairs, it adds no skill here.",
            "",
            head,
            *controls,
            "",
            "## Seconds of each stage",
            "",
            "Whole processes, start-up included; `fetch` includes drawing the data and training the base model.",
            "",
            f"| seed | {columns} | all |",
            "|---|" + "---|" * (len(STAGES) + 1),
            *clock,
            "",
            "## The same seed twice",
            "",
            f"Everything from nothing, one thread: the model digests are {'equal' if same else 'DIFFERENT'}.",
            "",
            "| model | first | second |",
            "|---|---|---|",
            *digest_lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
