"""BLEU (order 2), ROUGE-1 F and METEOR (exact + stem) of one candidate against one reference.

Equal to nltk's `sentence_bleu`, to `rouge_score` and to nltk's METEOR without synonyms on the same
tokens, with two repairs: a text of one token uses order 1 (an exact one-word answer is 1.0), and a
full match in one chunk has no fragmentation penalty (an exact copy is 1.0). What concerns the
reference alone is counted once and remembered. Knows nothing of rows or answer blocks.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from omnirl.config import UnifiedAccuracy
from omnirl.rewards.tokens import stem, tokenise

REFERENCES = 4096
"""Reference texts whose statistics are remembered."""
_IRREGULAR = frozenset({"dying", "lying", "tying"})
ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
"""METEOR as published (Banerjee and Lavie 2005): weight of recall, shape and height of the penalty."""


class Overlap(NamedTuple):
    """Three views of one comparison, each in 0..1; 1.0 each for equal tokens."""

    bleu: float
    """Local match (OmniRL's Rb)."""
    rouge: float
    """Coverage of the reference's words (Rr)."""
    meteor: float
    """Coherence: words in order, counted in unbroken chunks (Rm); exact and stem matches only."""


class Reference:
    """One reference text: its tokens and every count that a comparison with it needs."""

    __slots__ = ("_heads", "_keys", "pairs", "places", "rouge_stems", "stem_of", "tokens", "words")

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens
        self.words = Counter(tokens)
        self.pairs = Counter(pairwise(tokens))
        self.places: dict[str, list[int]] = {}
        for place, word in enumerate(tokens):
            self.places.setdefault(word, []).append(place)
        self.stem_of = {word: stem(word) for word in self.words}
        self.rouge_stems: Counter[str] = Counter()
        for word, count in self.words.items():
            self.rouge_stems[self.stem_of[word] if len(word) > 3 else word] += count
        self._keys = {*self.words, *self.stem_of.values()}
        self._heads = {key[:2] for key in self._keys}

    def matching_stems(self, words: Iterable[str]) -> dict[str, str]:
        """Stems of those `words` that may share theirs with a word of this text; spares most of the stemming.

        Porter's rules keep the first two letters, except where a stem of one letter is left
        (`aing`), and in `dying`, `lying`, `tying`.
        """
        heads, keys = self._heads, self._keys
        return {
            word: found
            for word in words
            if (word[:2] in heads or word[0] in heads or word in _IRREGULAR) and (found := stem(word)) in keys
        }


class Candidate:
    """One candidate text, counted as far as it may match `reference`."""

    def __init__(self, tokens: Sequence[str], reference: Reference) -> None:
        self.tokens = tokens
        self.reference = reference
        self.words = Counter(tokens)

    @cached_property
    def stem_of(self) -> dict[str, str]:
        """Stem of each word that may share it with the reference."""
        return self.reference.matching_stems(self.words)


def overlap(candidate: str, reference: str) -> Overlap:
    """Compare two texts, token by token of `tokenise`; all 0.0 when either has no token.

    Time is linear in `len(candidate)`; `reference` is tokenised once and remembered.

    Example:
        >>> overlap("the cat sat", "The cat sat.")
        Overlap(bleu=1.0, rouge=1.0, meteor=1.0)
        >>> overlap("很好", "不错").rouge
        0.0
    """
    right = _reference(reference)
    left = Candidate(tokenise(candidate), right)
    return Overlap(bleu(left), rouge(left), meteor_exact_stem(left))


def unified(overlap: Overlap, weights: UnifiedAccuracy) -> float:
    """Weighted mean of the three, in 0..1; exactly 1.0 when all three are.

    Raises:
        ZeroDivisionError: all weights are 0.
    """
    pairs = list(zip(overlap, (weights.bleu, weights.rouge, weights.meteor), strict=True))
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


@lru_cache(maxsize=REFERENCES)
def _reference(text: str) -> Reference:
    return Reference(tokenise(text))


def bleu(candidate: Candidate, *, effective_order: bool = True) -> float:
    """Sentence BLEU, weights (1/2, 1/2), no smoothing (Papineni et al. 2002).

    With `effective_order`, the weight collapses to unigrams when either text has one token.
    """
    reference = candidate.reference
    length, wanted = len(candidate.tokens), len(reference.tokens)
    matches = [_shared(candidate.words, reference.words)]
    if not effective_order or min(length, wanted) > 1:
        pairs = Counter(filter(reference.pairs.__contains__, pairwise(candidate.tokens)))
        matches.append(_shared(pairs, reference.pairs))
    if 0 in matches:
        return 0.0
    logs = (math.log(hits / max(1, length - n)) / len(matches) for n, hits in enumerate(matches))
    brevity = 1.0 if length > wanted else math.exp(1 - wanted / length)
    return brevity * math.exp(math.fsum(logs))


def rouge(candidate: Candidate) -> float:
    """ROUGE-1 F over Porter stems (Lin 2004); as in rouge_score, words of up to three letters are not stemmed."""
    reference = candidate.reference
    stems: dict[str, int] = {}
    for word, full in candidate.stem_of.items():
        key = full if len(word) > 3 else word
        stems[key] = stems.get(key, 0) + candidate.words[word]
    hits = _shared(stems, reference.rouge_stems)
    if not hits:
        return 0.0
    precision, recall = hits / len(candidate.tokens), hits / len(reference.tokens)
    return 2 * precision * recall / (precision + recall)


def _shared(left: Mapping[Any, int], right: Mapping[Any, int]) -> int:
    """Size of the multiset intersection; walks the smaller of the two."""
    if len(left) > len(right):
        left, right = right, left
    return sum(min(count, right[key]) for key, count in left.items() if key in right)


def meteor_exact_stem(candidate: Candidate) -> float:
    """METEOR with the exact and the stem module, no WordNet; never to be called plain METEOR.

    A full match in one chunk has penalty 0, so an exact copy is 1.0 whatever its length.
    """
    reference, matches = candidate.reference, _align(candidate)
    count, length, wanted = len(matches), len(candidate.tokens), len(reference.tokens)
    if not count:
        return 0.0
    chunks = 1 + sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in pairwise(matches))
    if chunks == 1 and count == length == wanted:
        return 1.0
    precision, recall = count / length, count / wanted
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return (1 - GAMMA * (chunks / count) ** BETA) * mean


def _align(candidate: Candidate) -> list[tuple[int, int]]:
    """Matched positions (candidate, reference), sorted: equal words first, then equal stems.

    As nltk does: from the last word of the candidate backwards, each takes the last free place.
    """
    reference = candidate.reference
    words, wanted = candidate.words, reference.words
    exact = {word: min(count, words[word]) for word, count in wanted.items() if word in words}
    stacks = {word: reference.places[word].copy() for word in exact}
    matches = _take(candidate.tokens, {word: word for word in exact}, stacks, sum(exact.values()), set())

    spare = {word: full for word, full in candidate.stem_of.items() if words[word] > exact.get(word, 0)}
    if not spare:
        return sorted(matches)
    taken = {place for _, place in matches}
    by_stem: dict[str, list[int]] = {}
    for place, word in enumerate(reference.tokens):
        if place not in taken:
            by_stem.setdefault(reference.stem_of[word], []).append(place)
    left: dict[str, int] = {}
    for word, full in spare.items():
        left[full] = left.get(full, 0) + words[word] - exact.get(word, 0)
    count = sum(min(n, len(by_stem.get(full, ()))) for full, n in left.items())
    matches += _take(candidate.tokens, spare, by_stem, count, {place for place, _ in matches})
    return sorted(matches)


def _take(
    tokens: Sequence[str], key_of: dict[str, str], stacks: dict[str, list[int]], count: int, used: set[int]
) -> list[tuple[int, int]]:
    """Give each token, from the last one backwards, the last free place of its key, until `count` are given."""
    matches: list[tuple[int, int]] = []
    place = len(tokens)
    while len(matches) < count:
        place -= 1
        key = key_of.get(tokens[place])
        if key is not None and place not in used and (stack := stacks.get(key)):
            matches.append((place, stack.pop()))
    return matches
