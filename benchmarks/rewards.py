"""What a reward costs, beside what nltk and rouge_score cost, and how time grows with hostile text.

Run: `python benchmarks/rewards.py` (one thread, about a minute). Prints two tables: microseconds per
completion for groups of 16 answers to one reference, and milliseconds on long spam with the growth
from 10,000 to 100,000 characters (10 is linear). Exits 1 when spam of 100,000 characters takes more
than 50 ms or grows faster than 20-fold.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from omnirl.rewards import Reward, get, names
from omnirl.rewards import text_overlap as own
from omnirl.rewards.tokens import omnirl_bleu_tokens, omnirl_rouge_tokens
from omnirl.schema.row import Row

GROUP = 16
SPAM = (
    "<think>", "</think>", "<answer>", "</answer>", "<think></think>", "<think></think><answer>",
    "<answer>a</answer>", "[", "[1,", "[1,1,1,1]", '{"bbox_2d": [', "```json", "{", "(", "-", ".", ",", "1", "1.",
    "A, B, C, D ", "yes no ", "the cat sat ", "是", "y", "\0", "\ud800", " ",
)  # fmt: skip
# fmt: off
WORDS = [
    "the", "of", "and", "running", "to", "happily", "in", "a", "national", "cat", "is", "nations", "that", "generally",
    "for", "it", "sat", "cats", "relation", "on",
]
# fmt: on
TEXT_ROW = Row(
    uid="text",
    dataset="t",
    split="train",
    task="generative",
    problem="q",
    answer="the cat sat on the mat, yes, 是 1",
    reward="unified_accuracy",
)  # fmt: skip
BOX_ROW = Row(
    uid="box", dataset="r", split="train", task="rec", problem="q", answer="[1, 2, 3, 4]", reward="rec_iou",
    images=("a.png",), bbox=(1, 2, 3, 4), box_frame="original_px",
).seen_by("original_px", None)  # fmt: skip


class NoSynonyms:
    """A WordNet without words: METEOR's exact and stem modules alone."""

    @staticmethod
    def synsets(word: str) -> list:
        """No synonyms."""
        return []


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Best of `repeats` runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def texts(tokens: int, seed: int) -> list[str]:
    """A reference and a group of answers that share most of their words with it."""
    rng = Random(seed)
    vocabulary = WORDS + ["".join(rng.choices("abcdefghiklmnoprstu", k=rng.randint(3, 9))) for _ in range(400)]
    reference = rng.choices(vocabulary, k=tokens)
    answers = [[w if rng.random() < 0.7 else rng.choice(vocabulary) for w in reference] for _ in range(GROUP)]
    return [" ".join(words) for words in (reference, *answers)]


def library_accuracy(reference: str, answers: list[str]) -> list[float]:
    """BLEU and ROUGE as OmniRL calls them."""
    smooth = SmoothingFunction().method0
    values = []
    for answer in answers:
        left, right = omnirl_bleu_tokens(answer), omnirl_bleu_tokens(reference)
        bleu = sentence_bleu([right], left, weights=(0.5, 0.5), smoothing_function=smooth)
        scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
        values.append((bleu + scorer.score(reference, answer)["rouge1"].fmeasure) / 2)
    return values


def own_accuracy(reference: str, answers: list[str]) -> list[float]:
    """The same two numbers, with the reference counted once."""
    bleu_reference = own.Reference(omnirl_bleu_tokens(reference))
    rouge_reference = own.Reference(omnirl_rouge_tokens(reference))
    values = []
    for answer in answers:
        local = own.bleu(own.Candidate(omnirl_bleu_tokens(answer), bleu_reference))
        coverage = own.rouge(own.Candidate(omnirl_rouge_tokens(answer), rouge_reference))
        values.append((local + coverage) / 2)
    return values


def own_meteor(reference: str, answers: list[str]) -> list[float]:
    """METEOR exact + stem."""
    right = own.Reference(reference.split())
    return [own.meteor_exact_stem(own.Candidate(a.split(), right)) for a in answers]


def library_meteor(reference: str, answers: list[str]) -> list[float]:
    """METEOR of nltk with an empty WordNet."""
    return [single_meteor_score(reference.split(), a.split(), wordnet=NoSynonyms) for a in answers]


def compare(tokens: int) -> None:
    """Print the lines of the first table for texts of `tokens` words; both columns must hold the same values."""
    reference, *answers = texts(tokens, seed=tokens)
    for label, library, mine in (
        ("BLEU-2 + ROUGE-1, as OmniRL", library_accuracy, own_accuracy),
        ("METEOR, exact + stem", library_meteor, own_meteor),
    ):
        difference = max(abs(a - b) for a, b in zip(library(reference, answers), mine(reference, answers), strict=True))
        slow = seconds(partial(library, reference, answers), repeats=2) / GROUP * 1e6
        fast = seconds(partial(mine, reference, answers), repeats=20) / GROUP * 1e6
        print(f"{label + f', {tokens} tokens':36} {slow:9.0f} {fast:9.0f} {slow / fast:6.0f}x  {difference:.1e}")
    row = TEXT_ROW.model_copy(update={"answer": reference})
    whole = [f"<think>t</think><answer>{answer}</answer>" for answer in answers]
    took = seconds(lambda: [get("unified_accuracy")(c, row) for c in whole], repeats=20) / GROUP * 1e6
    print(f"{f'unified_accuracy@1, {tokens} tokens':36} {'':9} {took:9.0f}")


def attack(reward: Reward, spam: str, row: Row) -> tuple[float, float]:
    """Milliseconds at 10,000 and 100,000 characters, bare or inside an answer block, whichever is slower."""
    took = []
    for length in (10_000, 100_000):
        body = (spam * (length // len(spam) + 1))[:length]
        inside = f"<think>t</think><answer>{body}</answer>"
        took.append(max(seconds(lambda c=c: reward(c, row)) for c in (body, inside)) * 1e3)
    return took[0], took[1]


def hostile() -> bool:
    """Print the slowest spam of each reward; whether all of them keep the limits."""
    print(f"\n{'slowest spam':24} {'spam':24} {'10k ms':>8} {'100k ms':>8} {'growth':>7}")
    sound = True
    for name in names():
        row = BOX_ROW if name == "rec_iou" else TEXT_ROW
        found = [(*attack(get(name), spam, row), spam) for spam in SPAM]
        small, large, spam = max(found, key=lambda f: f[1])
        growth = max(b / max(a, 0.2) for a, b, _ in found)
        print(f"{get(name).title:24} {spam!r:24} {small:8.2f} {large:8.2f} {growth:6.1f}x")
        sound = sound and large < 50 and growth < 20
    return sound


if __name__ == "__main__":
    print(f"{'us per completion, G = 16':36} {'library':>9} {'own':>9} {'ratio':>7}  largest difference")
    for count in (100, 500):
        compare(count)
    sys.exit(0 if hostile() else 1)
