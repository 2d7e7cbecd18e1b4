"""Whether an answer is the right one: as text, then as a number, then as mathematics. Nothing is ever evaluated as
code.

A number is compared exactly, as a fraction: 0.333333 is not 1/3. What is neither equal text nor a number goes to
math-verify (curriculum/answers/mathematics.py), and only where a problem asks for that.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from curriculum.answers.characters import folded
from curriculum.answers.mathematics import is_same_expression

LONGEST_NUMBER = 60  # characters: a longer one is text
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\$?(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?:\.(?P<part>\d*))?(?:/(?P<below>\d+))?%?", re.ASCII
)


def is_same_answer(given: str, right: str, as_mathematics: bool = False) -> bool:
    """Whether `given` says the same as `right`. False for what cannot be told."""
    given, right = normalised(given), normalised(right)
    if given == right:
        return True
    numbers = number_of(given), number_of(right)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return as_mathematics and is_same_expression(given, right)


def side_of(number: float | Fraction, right: float | Fraction) -> Literal["too low", "equal", "too high"]:
    """On which side of the right one a number is: what a second look may be told of it."""
    return "equal" if number == right else "too low" if number < right else "too high"


def normalised(text: str) -> str:
    """Characters that say the same made one, white space made single, and what wraps an answer taken off: $...$, a full
    stop at the end."""
    text = " ".join(folded(text).split())
    text = text.removesuffix(".").strip()
    while len(text) > 1 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    return text


@lru_cache(maxsize=4096)
def number_of(text: str) -> Fraction | None:
    """A whole number, a decimal or a fraction, with commas between thousands; $ in front and % behind say nothing."""
    found = _NUMBER.fullmatch(text) if len(text) <= LONGEST_NUMBER else None
    if found is None:
        return None
    whole, part, below = found["whole"].replace(",", ""), found["part"] or "", found["below"]
    if not (whole or part) or (below is not None and (found["part"] is not None or int(below) == 0)):
        return None
    value = Fraction(int((whole + part) or "0"), 10 ** len(part) * int(below or "1"))
    return -value if found["sign"] == "-" else value
