"""Digits to be put in order, "731942 =" -> "123479": a very small model learns it in a minute of training.

A wrong answer can nearly always be seen to be wrong: it is out of order, or has other digits than the problem. Used by
the experiments of selfplay/lab. Left out: numbers of more than one digit, falling order.
"""

import random
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from curriculum.domains.bare import BareDomain, distinct
from curriculum.domains.options import require_integers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_LENGTH = 16
SET_SIZE = 2000  # members of an evaluation set, of which the held-out ones are chosen
_DIGITS = re.compile(r"[ \t\r\n]*([0-9]{1,64})[ \t\r\n]*")


class SortingDomain(BareDomain):
    """Lists of `min_length` to `max_length` digits, zeros and repeats allowed. DomainError for impossible options."""

    name = "sorting"
    solver_instruction = "Put the digits in rising order. Answer with the digits only."
    recheck_instruction = "Put them in order once more, carefully, and answer with the digits only."
    challenger_instruction = "Write one list of digits that is a little harder to sort. Answer with the digits only."

    def __init__(self, min_length: int = 4, max_length: int = 8) -> None:
        require_integers({"min_length": min_length, "max_length": max_length})
        if not 3 <= min_length <= max_length <= MAX_LENGTH:
            raise DomainError(f"domain_options: sorting needs 3 <= min_length <= max_length <= {MAX_LENGTH}")
        self.levels = range(min_length, max_length + 1)
        self.escalation_examples: Sequence[tuple[str, str]] = [
            (_ruled(length, 7), _ruled(length + 1, 7)) for length in self.levels[:-1][:2]
        ]

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is a list of 1 to 64 ASCII digits; TOO_LARGE where its length is not an allowed one."""
        match = _DIGITS.fullmatch(text)
        if match is None:
            return Fate.UNPARSED
        return _statement(match[1]) if len(match[1]) in self.levels else Fate.TOO_LARGE

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """The digits read from `text` against the sorted ones."""
        match = _DIGITS.fullmatch(text)
        if match is None:
            return Outcome.UNPARSED, None
        return (Outcome.CORRECT if match[1] == problem.answer else Outcome.INCORRECT), match[1]

    def observation(self, problem: Problem, text: str) -> str:
        """What was counted: digits missing from the answer, digits too many, and falls; "no digits" without any.

        "missing 1, extra 0, falls 2"; a right answer has three zeros.
        """
        match = _DIGITS.fullmatch(text)
        if match is None:
            return "no digits"
        said, wanted = match[1], problem.answer
        surplus = [said.count(digit) - wanted.count(digit) for digit in "0123456789"]
        missing, extra = sum(max(0, -n) for n in surplus), sum(max(0, n) for n in surplus)
        falls = sum(left > right for left, right in pairwise(said))
        return f"missing {missing}, extra {extra}, falls {falls}"

    def seeds(self) -> Sequence[Statement]:
        """One list of each length."""
        return [_statement(_ruled(length, 3)) for length in self.levels]

    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """Uniform over the lists of this length."""
        return _drawn(rng, level)

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`sort<n>`: SET_SIZE lists of each length n, or half of all of them where that is fewer."""
        return {f"sort{length}": _members(length) for length in self.levels}


def _statement(digits: str) -> Statement:
    return Statement(
        text=digits,
        canonical=digits,
        family=f"{len(digits)}n",
        level=len(digits),
        answer="".join(sorted(digits)),
        answer_source="executed",
    )


def _ruled(length: int, factor: int) -> str:
    """The last digits of the multiples of `factor`: 3, 6, 9, 2, 5 ..."""
    return "".join(str(factor * (i + 1) % 10) for i in range(length))


def _drawn(rng: random.Random, length: int) -> Statement:
    return _statement(f"{rng.randrange(10**length):0{length}d}")


def _members(length: int) -> Sequence[Statement]:
    """Distinct draws of a generator of their own, in the order in which they came."""
    return distinct(lambda rng: _drawn(rng, length), min(SET_SIZE, 10**length // 2), f"sorting/{length}")
