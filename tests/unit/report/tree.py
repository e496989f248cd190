"""A small but complete set of what the other stages leave, for tests of the page and the summary.

Six sets as in the demo, four questions each, real PNG pictures in real zips, answers of both models.
Everything is a constant or a function of its position: two trees are equal byte for byte.
"""

import io
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw

from omnirl.config import Params, load_params
from omnirl.io import files
from omnirl.io.rows import write_rows
from omnirl.schema import layout
from omnirl.schema.row import Row, Size

CHECKOUT = Path(__file__).resolve().parents[3]
SIZE = Size(84, 84)
COLORS = ("red", "green", "blue", "orange", "purple", "black")
QUESTIONS = 4
BOX = (28.0, 0.0, 56.0, 28.0)
OUTSIDE = (0.0, 56.0, 28.0, 84.0)
SETS = {
    "rec_in_domain": ("rec_val", "scenes/train2014.zip", 1),
    "rec_out_of_domain": ("rec_ood", "scenes/out_of_domain.zip", 1),
    "multi_image": ("pairs_val", "scenes/multi_image.zip", 2),
    "multi_image_out_of_domain": ("pairs_ood", "scenes/out_of_domain.zip", 2),
    "generative": ("text_val", None, 0),
    "generative_out_of_domain": ("text_ood", None, 0),
}
RUN_ID = "test-run-7"


def params() -> Params:
    """The demo's parameters, as shipped."""
    return load_params(CHECKOUT / "params.yaml")


def build(root: Path, *, verdict: str = "promote", hostile: str | None = None) -> Params:
    """Write the whole tree below `root`.

    Args:
        root: an empty folder.
        verdict: the gate's; `refuse` leaves no compared set and no version.
        hostile: text put into questions, answers, completions, reasons and names of quarantined rows.
    """
    root.mkdir(parents=True, exist_ok=True)
    shipped = params()
    _archives(root)
    for number, name in enumerate(SETS):
        _set(root, name, number, hostile)
    _data_reports(root, hostile)
    _training_reports(root)
    _verdict_reports(root, verdict, hostile)
    _run(root)
    return shipped


def picture(number: int, *, size: Size = SIZE, with_box: bool = True) -> bytes:
    """A grey PNG with one coloured square at `BOX`."""
    image = Image.new("RGB", size, (128, 128, 128))
    if with_box:
        ImageDraw.Draw(image).rectangle((30, 2, 53, 25), fill=COLORS[number % len(COLORS)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _archives(root: Path) -> None:
    folder = root / layout.RAW / "scenes"
    folder.mkdir(parents=True)
    for archive in {a for _, a, _ in SETS.values() if a} | {"scenes/text.zip", "scenes/rec_jsons_processed.zip"}:
        with zipfile.ZipFile(root / layout.RAW / archive, "w") as handle:
            for number in range(2 * QUESTIONS):
                handle.writestr(zipfile.ZipInfo(f"pictures/{number}.png"), picture(number, with_box=number < QUESTIONS))
            handle.writestr(zipfile.ZipInfo("pictures/torn.png"), picture(0)[:60])


def _set(root: Path, name: str, number: int, hostile: str | None) -> None:
    dataset, archive, count = SETS[name]
    rows, records = [], {"champion": [], "challenger": []}
    for i in range(QUESTIONS):
        images = tuple(f"{archive}::pictures/{i + QUESTIONS * k}.png" for k in reversed(range(count)))
        row = _row(dataset, i, images, hostile)
        rows.append(row)
        records["champion"].append(_record(name, row, correct=(i + number) % 4 == 3, hostile=hostile))
        records["challenger"].append(_record(name, row, correct=(i + number) % 4 != 3, hostile=hostile))
    write_rows(root / layout.VALID / f"{dataset}.parquet", rows)
    for who, lines in records.items():
        files.write_jsonl(root / layout.EVAL_RECORDS / who / f"{name}.jsonl", lines)


def _row(dataset: str, i: int, images: tuple[str, ...], hostile: str | None) -> Row:
    boxed = bool(images)
    return Row(
        uid=f"{dataset}/{i}",
        dataset=dataset,
        split="eval",
        task="rec" if boxed else "generative",
        problem=hostile or (f"where is the {COLORS[i]} square" if boxed else f"say: {COLORS[i]} square left"),
        answer=hostile or (str(list(BOX)) if boxed else f"the {COLORS[i]} square is on the left"),
        reward="rec_iou" if boxed else "unified_accuracy",
        images=images,
        image_sha256=tuple("0" * 64 for _ in images),
        sizes=tuple(SIZE for _ in images),
        bbox=BOX if boxed else None,
        box_frame="original_px" if boxed else None,
        box_image=max(0, len(images) - 1),
        cluster=f"{dataset}-scene-{i}",
    )


def _record(name: str, row: Row, *, correct: bool, hostile: str | None) -> dict:
    boxed = bool(row.images)
    box = (BOX if correct else OUTSIDE) if boxed else None
    said = str(list(box)) if box else row.answer if correct else "the thing"
    unread = not correct and row.uid.endswith("/1")
    return {
        "uid": row.uid,
        "set": name,
        "task": row.task,
        "cluster": row.cluster,
        "prompt": row.problem,
        "completion": hostile or (said if unread else f"<think>square</think><answer>{said}</answer>"),
        "parsed": None if unread else hostile or said,
        "box": None if unread else box,
        "status": "no_answer" if unread else "ok",
        "correct": correct,
        "scores": {"iou": float(correct), "acc50": float(correct)} if boxed else {"unified": 0.9 if correct else 0.2},
        "tokens": 14,
    }


def _data_reports(root: Path, hostile: str | None) -> None:
    sources = {s.name: {"converter": s.converter, "rows": 40, "quarantined": 0} for s in params().convert.sources}
    checked = {name: {"rows": 40, "valid": 40, "quarantined": 0} for name in sources}
    checked["rec_train"] = {"rows": 40, "valid": 37, "quarantined": 3}
    codes = ("box_outside_image", "image_unreadable", "empty_question")
    pictures = ("pictures/0.png", "pictures/torn.png", None)
    lines = [
        {
            "source": hostile or "scenes/rec_jsons_processed.zip::rec_jsons_processed/scenes_train.json",
            "line": 11 + i,
            "uid": f"rec_train/{11 + i}",
            "code": hostile or code,
            "reason": hostile or f"reason number {i}",
            "stage": "validate",
            "row": {"problem": hostile or "where", "images": [f"scenes/train2014.zip::{image}"] if image else []},
        }
        for i, (code, image) in enumerate(zip(codes, pictures, strict=True))
    ]
    total = 40 * len(sources)
    files.write_jsonl(root / layout.QUARANTINE, lines)
    files.write_json(root / layout.CONVERT_REPORT, {"rows": total, "quarantined": 0, "sources": sources})
    report = {
        "rows": total,
        "valid": total - 3,
        "quarantined": 3,
        "fraction": 3 / total,
        "reasons": {code: 1 for code in codes},
        "datasets": checked,
        "leakage": {"mode": "strict", "images": 0, "rows": 0},
        "examples": [{k: v for k, v in line.items() if k != "row"} for line in lines],
    }
    files.write_json(root / layout.VALIDATE_REPORT, report)


def _training_reports(root: Path) -> None:
    steps = range(1, 61)
    train = [
        {
            "step": i,
            "reward": round(0.6 + 0.022 * i, 4),
            "accuracy": round(0.2 + 0.012 * i, 4),
            "format": round(0.4 + 0.01 * i, 4),
            "completion_tokens": round(14.5 - 0.02 * i, 4),
            "truncated": 0.02,
            "loss": round(0.01 / i, 6),
            "entropy": round(0.5 / i, 6),
            "frac_reward_zero_std": round(i / 120, 4),
        }
        for i in steps
    ]
    files.write_csv(root / layout.TRAIN_CURVE, train)
    files.write_csv(root / layout.SFT_CURVE, [{"step": i, "loss": round(2 / i, 4)} for i in range(2, 31, 2)])
    digests = {"base": "b" * 64, "sft": "5" * 64, "grpo": "6" * 64}
    files.write_json(
        root / layout.SFT_REPORT, {"steps": 30, "model_digest": digests["sft"], "base_digest": digests["base"]}
    )
    files.write_json(
        root / layout.TRAIN_REPORT, {"steps": 60, "model_digest": digests["grpo"], "base_digest": digests["sft"]}
    )
    attacks = dict.fromkeys(params().redteam.attacks, 0.05) | {"box_grid": 0.31}
    reward = {
        "honest": 0.98,
        "best_attack": "box_grid",
        "best_attack_score": 0.31,
        "attacks": attacks,
        "accepted": False,
    }
    padded = {
        "honest": 0.2,
        "best_attack": "padding",
        "best_attack_score": 1.0,
        "attacks": {"padding": 1.0},
        "accepted": True,
    }
    whole = {k: v for k, v in reward.items() if k != "accepted"}
    whole["datasets"] = {name: dict(whole) for name in params().train.datasets}
    report = {
        "passed": True,
        "margin": 0.05,
        "rows": 180,
        "rewards": {"rec_iou@1": reward, "format@1": padded},
        "weighted_sum": whole,
        "reasons": ["no attack is paid more than the honest answer by over 0.05 on any dataset"],
    }
    files.write_json(root / layout.REDTEAM_REPORT, report)


def _verdict_reports(root: Path, verdict: str, hostile: str | None) -> None:
    roles = {name: chosen.role for name, chosen in params().evaluate.sets.items()}
    measured, judged = {}, {}
    for number, (name, (dataset, _, count)) in enumerate(SETS.items()):
        metric = "acc50" if count else "unified50"
        both = {"champion": 0.25, "challenger": 0.75}
        means = {
            who: {metric: value, "unreadable": 0.25, "tokens": 14.0, "length": 52.5} for who, value in both.items()
        }
        measured[name] = {"n": QUESTIONS, "metric": metric, "role": roles[name]} | means
        uids = [f"{dataset}/{i}" for i in range(QUESTIONS)]
        lost = [uid for i, uid in enumerate(uids) if (i + number) % 4 == 3]
        judged[name] = {
            **{"role": roles[name], "n": QUESTIONS, "metric": metric, **both, "gained": 3, "lost": 1},
            **{"p": 3e-42, "p_holm": 1.8e-41, "ci95": [0.41, 0.58], "smallest_visible_difference": 0.061},
            **{"test": "mcnemar_exact", "gained_uids": [u for u in uids if u not in lost], "lost_uids": lost},
            "figures": {"format": {"role": "report", "n": QUESTIONS, **both, "gained": 3, "lost": 1, "p": 0.0701}},
        }
    prints = dict.fromkeys(SETS, "f" * 64)
    models = {
        "champion": {"label": "warm-start", "digest": "5" * 64},
        "challenger": {"label": hostile or "candidate", "digest": "6" * 64},
    }
    asked = {who: {**model, "fingerprint": prints} for who, model in models.items()}
    evaluation = {"fingerprint": prints, "models": asked, "sets": measured}
    gate = {"verdict": verdict, "reasons": [hostile or f"the reason for {verdict}"], "alpha": 0.05}
    gate |= {"first_minimum_met": True, **models, "sets": {} if verdict == "refuse" else judged}
    version = None if verdict == "refuse" else "v0.0.2"
    files.write_json(root / layout.EVAL_REPORT, evaluation)
    files.write_json(root / layout.GATE_REPORT, gate)
    registration = {"name": "tiny-vl", "version": version, "digest": "6" * 64, "verdict": verdict}
    files.write_json(root / layout.REGISTRATION, registration)


def _run(root: Path) -> None:
    folder = root / layout.RUNS / RUN_ID
    for stage, seconds in {"sft": 8.25, "train": 41.5, "evaluate": 9.0}.items():
        files.append_jsonl(folder / "stages.jsonl", {"stage": stage, "seconds": seconds})
    outcome = {"title": "moved", "champion": "tiny-vl@v0.0.2", "message": "tiny-vl@v0.0.2 now holds the title"}
    files.write_json(folder / "registration.json", outcome)
