"""Cut text into the tokens that BLEU, ROUGE and METEOR count.

`tokenise` is safe for every script. `omnirl_bleu_tokens` and `omnirl_rouge_tokens` reproduce the
published code (ASCII only) and serve comparison with it. Knows nothing of scores.
"""

import re
import unicodedata
from functools import lru_cache

import regex
from nltk.stem.porter import PorterStemmer

STEM_LIMIT = 64
"""Longer tokens are their own stem: the stemmer needs quadratic time and recursion on `yyyy...`."""
STEM_MEMO = 1 << 17
"""Stems remembered; spam of unique words cannot grow the memo beyond this."""

_ONE_EACH = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# At most three decimal points in a number: `1.1.1...x` would be searched again from each of them.
_TOKEN = regex.compile(
    rf"[{_ONE_EACH}]"
    r"|(?<![\p{L}\p{M}\p{N}])-?+(?>\d++(?:\.\d++){0,3}+|\.\d++)(?![\p{L}\p{M}])"  # -5, 3.5, .5, 2024.01.02
    rf"|[[\p{{L}}\p{{M}}\p{{N}}]--[{_ONE_EACH}]]++",
    regex.V1,
)
_TOKEN_ASCII = re.compile(r"(?<![a-z0-9])-?+(?>[0-9]++(?:\.[0-9]++){0,3}+|\.[0-9]++)(?![a-z])|[a-z0-9]++")
_SIGN = str.maketrans({"\u2212": "-"})
_STEMMER = PorterStemmer()


def tokenise(text: str) -> list[str]:
    """Lower-case words, numbers with sign and decimal point, and single characters of unspaced scripts.

    NFKC, then case folding. One token for each character of Han, kana, Bopomofo, Thai, Lao, Khmer
    and Burmese; maximal runs of letters, marks and digits else. Punctuation is dropped, unless there
    is nothing else: then each character that is not white space is a token.

    Example:
        >>> tokenise("It's -5.0 °C in 北京!")
        ['it', 's', '-5.0', 'c', 'in', '北', '京']
        >>> tokenise("!?")
        ['!', '?']
    """
    folded = text.lower() if text.isascii() else _fold(text)
    tokens = (_TOKEN_ASCII if folded.isascii() else _TOKEN).findall(folded)
    return tokens or [c for c in folded if not c.isspace()]


def _fold(text: str) -> str:
    """NFKC, case folding, NFKC of what that made; the minus sign becomes a hyphen."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_SIGN)


@lru_cache(maxsize=STEM_MEMO)
def stem(word: str) -> str:
    """Porter stem of a lower-case token, remembered."""
    return _STEMMER.stem(word) if len(word) <= STEM_LIMIT else word


def omnirl_bleu_tokens(text: str) -> list[str]:
    """As OmniRL counts BLEU: everything but ASCII letters, digits and white space deleted, case kept."""
    return re.sub(r"[^\sa-zA-Z0-9]", "", text).split()


def omnirl_rouge_tokens(text: str) -> list[str]:
    """As `rouge_score` cuts text: runs of `a-z0-9` after lowering."""
    return re.findall(r"[a-z0-9]+", text.lower())
