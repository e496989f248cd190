"""BLEU, ROUGE-1 and METEOR against nltk, rouge_score and sacrebleu on the same tokens."""

import json
import math
from pathlib import Path
from random import Random

import pytest
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from omnirl.config import UnifiedAccuracy
from omnirl.parsing.answer import find_answer
from omnirl.rewards.text_overlap import Candidate, Overlap, Reference, bleu, meteor_exact_stem, overlap, rouge, unified
from omnirl.rewards.tokens import omnirl_bleu_tokens, omnirl_rouge_tokens, stem, tokenise

GOLDEN = Path(__file__).parents[2] / "golden"
# fmt: off
VOCABULARY = [
    "the", "a", "cat", "cats", "running", "run", "runs", "sat", "on", "mat", "dying", "die", "dies", "lying", "tying",
    "tied", "ties", "news", "its", "it", "happily", "happy", "happiness", "relational", "sky", "skies", "national",
    "nationality", "generalization", "general", "agreed", "proceed", "cry", "cries", "3", "42",
]
# fmt: on


class NoSynonyms:
    """A WordNet without a word in it."""

    @staticmethod
    def synsets(word):
        return []


def pair(left, right):
    return Candidate(left, Reference(right))


def random_pairs(count, longest=12):
    rng = Random(7)
    for _ in range(count):
        yield [rng.choices(VOCABULARY, k=rng.randint(1, longest)) for _ in range(2)]


def vectors(name):
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_bleu_is_nltk_bleu_to_the_bit():
    for left, right in random_pairs(400):
        expected = sentence_bleu([right], left, weights=(0.5, 0.5))
        found = bleu(pair(left, right), effective_order=False)
        assert found == (expected if expected > 1e-100 else 0.0), (left, right)


def test_bleu_with_effective_order_is_sacrebleu():
    metric = BLEU(max_ngram_order=2, effective_order=True, smooth_method="none", tokenize="none", force=True)
    for left, right in random_pairs(400, longest=5):
        if len(left) > 1 and len(right) == 1:
            continue  # sacrebleu looks at the candidate's length alone; here either text of one token decides
        expected = metric.sentence_score(" ".join(left), [" ".join(right)]).score / 100
        assert bleu(pair(left, right)) == pytest.approx(expected, abs=1e-9), (left, right)


def test_rouge_is_rouge_score_to_the_bit():
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    for left, right in random_pairs(400):
        expected = scorer.score(" ".join(right), " ".join(left))["rouge1"].fmeasure
        assert rouge(pair(left, right)) == expected, (left, right)


def test_meteor_is_nltk_meteor_without_synonyms_but_for_full_matches():
    for left, right in random_pairs(400):
        expected = single_meteor_score(right, left, wordnet=NoSynonyms)
        stems = [[PorterStemmer().stem(w) for w in side] for side in (left, right)]
        found = meteor_exact_stem(pair(left, right))
        assert found == pytest.approx(1.0 if stems[0] == stems[1] else expected, abs=1e-12), (left, right)


def test_spared_stemming_never_loses_a_match():
    endings = ["", "s", "es", "ed", "ing", "y", "ies", "ied", "ly", "ational", "ization", "eed", "fulness"]
    heads = ["a", "b", "o", "ab", "by", "dy", "ly", "ty", "di", "sk", "sky", "tr", "e", "th", "yy"]
    words = [h + e for h in heads for e in endings]
    for reference in words:
        expected = {word for word in words if stem(word) == stem(reference)}
        assert expected <= set(Reference([reference]).matching_stems(words)), reference


PUBLISHED = [v for v in vectors("omnirl_accuracy") if v["note"] != "answer tag inside think"]
"""That one vector is a defect of answer finding: tests/regression/test_answer_inside_think_is_accepted.py."""


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda v: v["id"])
def test_published_accuracy_is_reproduced_with_its_tokens(vector):
    answer, solution = find_answer(vector["inputs"]["completion"]).text, vector["inputs"]["solution"]
    if answer is None:
        assert vector["expected"] == 0.0
        return
    local = bleu(pair(omnirl_bleu_tokens(answer), omnirl_bleu_tokens(solution)), effective_order=False)
    coverage = rouge(pair(omnirl_rouge_tokens(answer), omnirl_rouge_tokens(solution)))
    assert (local + coverage) / 2 == pytest.approx(vector["expected"], abs=1e-12)


@pytest.mark.parametrize("vector", vectors("meteor"), ids=lambda v: v["id"])
def test_meteor_equals_the_vectors_unless_synonyms_or_full_matches_decide(vector):
    left, right = (vector["inputs"][k].lower().split() for k in ("completion", "reference"))
    found = meteor_exact_stem(pair(left, right))
    if left == right and left:
        assert found == 1.0 == vector["meteor15_java"]
    elif vector["inputs"]["completion"] in ("happy people purchase sofas", "physician"):
        assert found == 0.0  # WordNet alone connects these
    else:
        assert found == pytest.approx(vector["expected"], abs=1e-12)


@pytest.mark.parametrize(
    ("left", "right", "bleu_2", "rouge_1"),
    [  # measured against sacrebleu's zh tokeniser and by hand
        ("很好", "不错", 0.0, 0.0),
        ("今天天气很好", "今天天气不错", 0.632, 0.667),
        ("北京是中国的首都", "北京是中国首都", math.sqrt(7 / 8 * 5 / 7), 14 / 15),
        ("上海", "北京", 0.0, 0.0),
        ("是", "是", 1.0, 1.0),
        ("ＡＢＣ １２", "abc 12", 1.0, 1.0),
        ("-5", "5", 0.0, 0.0),
        ("3.5 kg", "35 kg", 0.0, 0.5),
        ("", "cat", 0.0, 0.0),
        ("!?", "cat", 0.0, 0.0),
    ],
)
def test_every_script_is_counted(left, right, bleu_2, rouge_1):
    found = overlap(left, right)
    assert found.bleu == pytest.approx(bleu_2, abs=1e-3)
    assert found.rouge == pytest.approx(rouge_1, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's -5.0 °C!", ["it", "s", "-5.0", "c"]),
        ("covid-19, 10-5", ["covid", "19", "10", "5"]),
        ("\u22123 and .5 and 2024.01.02", ["-3", "and", ".5", "and", "2024.01.02"]),
        ("3rd 3.5th", ["3rd", "3", "5th"]),
        ("Straße", ["strasse"]),
        ("cafe\u0301", ["café"]),
        ("日本語テキスト", list("日本語テキスト")),
        ("한국어 문장", ["한국어", "문장"]),
        ("สวัสดี", list("สวัสดี")),
        ("!?", ["!", "?"]),
        ("", []),
    ],
)
def test_tokens(text, tokens):
    assert tokenise(text) == tokens


def test_long_tokens_are_not_stemmed_since_the_stemmer_would_recurse():
    assert stem("y" * 5000) == "y" * 5000
    assert overlap("y" * 5000, "y" * 5000) == Overlap(1.0, 1.0, 1.0)


def test_unified_is_the_weighted_mean():
    parts = Overlap(bleu=0.2, rouge=0.5, meteor=0.8)
    assert unified(parts, UnifiedAccuracy(bleu=1, rouge=1, meteor=1)) == pytest.approx(0.5)
    assert unified(parts, UnifiedAccuracy(bleu=3, rouge=1, meteor=0)) == pytest.approx(1.1 / 4)
