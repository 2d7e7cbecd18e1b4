"""How alike two problems are, where a domain does not say it: by the tokens of their canonical forms."""

import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

_TOKEN = re.compile(r"\d|[^\W\d]+|[^\w\s]")


def tokens_of(text: str) -> list[str]:
    """Words, single digits and single signs, without blanks: "+38 x" is + 3 8 x. A number is as many tokens as it has
    digits, so that 38 is nearer to 37 than to 4."""
    return _TOKEN.findall(text)


def alike(one: Sequence[str], other: Sequence[str]) -> float:
    """1 - (Levenshtein distance of the two sequences) / (length of the longer one), in [0, 1]; 1 where both are
    empty."""
    return float(Levenshtein.normalized_similarity(one, other))
