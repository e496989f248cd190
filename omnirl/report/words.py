"""Fixed texts of the page and of the end-of-run message, and how numbers are written.

Knows the vocabulary of the project and nothing of files. Percentages are written from fractions;
a value that is missing is an en dash, never a zero.
"""

import math
import re

from omnirl.config import Params

MISSING = "\N{EN DASH}"
THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

VERDICTS = {
    "promote": ("Promote", "The new model is better where it matters, and not worse elsewhere."),
    "hold": ("Hold", "No clear difference either way: keep the current model."),
    "reject": ("Reject", "The new model is worse where it matters: keep the current model."),
    "refuse": ("Refuse", "The two results must not be compared, so nothing was decided."),
}
"""Verdict -> (headline, what it means in one sentence)."""

ROLES = {"target": "decides", "guard": "must not fall", "report": "shown only"}

ATTACKS = {
    "empty": "says nothing at all",
    "prompt_echo": "gives the question back as the answer",
    "tag_spam": "the expected tags many times over, nothing in them",
    "box_grid": "a grid of boxes over the whole picture: one is bound to be near",
    "duplicate_boxes": "the box of the whole picture, many times",
    "padding": "a wrong answer in the right layout, made long with filler",
}

DEMO = (
    "What the demo is made to show: weak labels repaired by verifiable rewards; GRPO adds no skill to a clean start.",
    "The warm start is trained on purpose with loose boxes, sloppy sentences and missing thoughts. GRPO then sees "
    "no better labels, only rewards that can be checked, and is to win back what the weak labels cost. The base "
    "model knows the tasks already: started from clean labels, the same GRPO finds nothing to repair.",
)
"""One sentence and its explanation, shown when the data and the base model are the demo's own."""

GLOSSARY = (
    (
        "Champion, challenger",
        "The model to beat and the new one. Both answer the same questions, greedily, with the same prompts.",
    ),
    (
        "Gained, lost",
        "Questions only the challenger gets right, and questions only the champion gets right. "
        "All others do not tell the two apart.",
    ),
    (
        "p",
        "How often a difference at least this large would appear if both models were equally good. Small means: "
        "not luck. Holm's value allows for having looked at several sets.",
    ),
    (
        "95 % interval",
        "The range of gains this many questions cannot rule out, in percentage points, resampled by picture or scene.",
    ),
    (
        "Smallest visible difference",
        "The smallest true gain that this many questions would find four times out of five. "
        "A smaller one may exist and stay unseen.",
    ),
    (
        "Role",
        "A set that decides can win or lose the verdict. A set that must not fall can only stop it. "
        "Other sets are shown and change nothing.",
    ),
)


def demo_note(params: Params) -> tuple[str, str] | None:
    """The demo's sentence and explanation, None for any other data."""
    return DEMO if params.fetch.endpoint == "demo" else None


def metric_name(metric: str | None) -> str:
    """What a metric counts, in words; the name itself when it is not known here."""
    share = re.fullmatch(r"(acc|unified)(\d{1,2})", metric or "", re.ASCII)
    if share:
        threshold = f"0.{share[2]:0>2}".rstrip("0")
        return f"boxes found, IoU > {threshold}" if share[1] == "acc" else f"right from text score {threshold} on"
    return {"iou": "mean IoU", "unified": "text score"}.get(metric or "", metric or MISSING)


def name_of_test(test: str | None) -> str:
    """A statistical test in words."""
    return {"mcnemar_exact": "exact McNemar", "sign_flip_by_cluster": "sign flips by cluster"}.get(
        test or "", test or ""
    )


def set_name(name: str) -> str:
    """`rec_out_of_domain` -> `Rec out of domain`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def percent(value: float | None) -> str:
    """A fraction as `53.7 %`."""
    return MISSING if value is None else f"{100 * value:.1f}{THIN}%".replace("-", MINUS)


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign: `+46.3`."""
    if value is None:
        return MISSING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def interval(pair: list[float | None] | None) -> str:
    """`+40.7 … +52.0` in percentage points."""
    if not pair or len(pair) != 2 or None in pair:
        return MISSING
    return f"{points(pair[0])} … {points(pair[1])}"


def p_value(value: float | None) -> str:
    """`0.023`, or `3 × 10⁻⁴²` below one in a thousand."""
    if value is None:
        return MISSING
    if value <= 0:
        return "< 10⁻³⁰⁰"
    if value >= 0.0995:
        return f"{value:.2f}"
    if value >= 0.001:
        return f"{value:.3f}"
    exponent = math.floor(math.log10(value))
    mantissa = round(value / 10**exponent) if exponent > -300 else 1
    exponent, mantissa = (exponent + 1, 1) if mantissa == 10 else (exponent, mantissa)
    return f"{mantissa} × 10{str(exponent).translate(SUPERSCRIPTS)}"


def number(value: object) -> str:
    """A number as people write it; counts with thin spaces between thousands."""
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", THIN).replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def score(value: float | None) -> str:
    """A reward or metric with two decimals."""
    return MISSING if value is None else f"{value:.2f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """`8.1 s`, `2 min 03 s`, `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    return f"{minutes // 60}{THIN}h {minutes % 60:02d}{THIN}min"


def next_steps(verdict: str, name: str, version: str | None) -> list[tuple[str, str | None]]:
    """What to do after this verdict: (sentence, command or None)."""
    label = version if version and "@" in version else f"{name}@{version}" if version else name
    by_verdict: dict[str, list[tuple[str, str | None]]] = {
        "promote": [
            ("Look at the lost questions above: they are the price of this promotion.", None),
            ("See which version holds the title now, and since when.", f"omnirl registry history {name}"),
            ("Should users find a fault, take the promotion back.", f"omnirl registry rollback {name}"),
        ],
        "hold": [
            ("Nothing changes for users. More questions see smaller differences: compare the last columns.", None),
            ("If you have reasons the numbers do not know, promote by hand.", f"omnirl registry promote {label}"),
        ],
        "reject": [
            ("Nothing changes for users. The lost questions above show where the new model fell.", None),
            ("Look at the training curves: a reward that rises while answers get worse is being cheated.", None),
        ],
        "refuse": [
            ("Read the reasons: the two models did not answer the same questions in the same way.", None),
            ("Evaluate again with the current champion, then compare.", "omnirl registry pin && dvc repro"),
        ],
    }
    return [
        *by_verdict.get(verdict, []),
        ("Change a number in params.yaml and run again; only what depends on it is done again.", "dvc repro"),
    ]
