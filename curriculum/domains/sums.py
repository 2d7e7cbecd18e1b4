"""Sums of two numbers with the same number of digits, most significant digit first: what a small model can learn.

The first digit depends on the carries of all digits behind it, so first tries are often wrong and a second look has
something to correct. Used by the experiments of selfplay/lab. Answers are Python's own; text of a model is only
compared, never evaluated.
"""

import random
import re
from collections.abc import Mapping, Sequence

from curriculum.domains.bare import BareDomain, distinct
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_DIGITS = 9
SET_SIZE = 1000  # members of an evaluation set, of which the held-out ones are chosen
_PROBLEM = re.compile(r"[ \t\r\n]*([1-9][0-9]{0,17})[ ]?\+[ ]?([1-9][0-9]{0,17})[ \t\r\n]*")
_ANSWER = re.compile(r"[ \t\r\n]*(0|[1-9][0-9]{0,18})[ \t\r\n]*")


class SumsDomain(BareDomain):
    """Sums of two numbers of d digits each, `min_digits` <= d <= `max_digits`. DomainError for impossible options.

    `nines` is the probability that a column is made to add up to nine; otherwise its digits are uniform. Such a column
    hands a carry from the column below on to the next, so a model that looks one column ahead is often wrong.
    """

    name = "sums"
    solver_instruction = "Add the numbers. Answer with the sum only."
    recheck_instruction = "Add them once more, carefully, and answer with the sum only."
    challenger_instruction = "Write one sum of two numbers that is a little harder. Answer with the sum's text only."

    def __init__(self, min_digits: int = 1, max_digits: int = 4, nines: float = 0.0) -> None:
        if not 1 <= min_digits <= max_digits <= MAX_DIGITS:
            raise DomainError(f"domain_options: sums needs 1 <= min_digits <= max_digits <= {MAX_DIGITS}")
        if not 0.0 <= nines <= 1.0:
            raise DomainError(f"domain_options.nines is {nines!r}: it must be from 0 to 1")
        self.levels = range(min_digits, max_digits + 1)
        self.nines = nines
        longer = zip(self.levels[:-1], self.levels[1:], strict=True)
        self.escalation_examples: Sequence[tuple[str, str]] = [
            (f"{'2' * d} + {'5' * d}", f"{'3' * e} + {'5' * e}") for d, e in longer
        ] or [(f"{'2' * min_digits} + {'5' * min_digits}", f"{'3' * min_digits} + {'8' * min_digits}")]

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is a sum; INVALID with numbers of unequal length; TOO_LARGE outside the options."""
        match = _PROBLEM.fullmatch(text)
        if match is None:
            return Fate.UNPARSED
        left, right = match[1], match[2]
        if len(left) != len(right):
            return Fate.INVALID
        if len(left) not in self.levels:
            return Fate.TOO_LARGE
        return _statement(int(left), int(right))

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """The number read from `text` against the sum."""
        match = _ANSWER.fullmatch(text)
        if match is None:
            return Outcome.UNPARSED, None
        return (Outcome.CORRECT if match[1] == problem.answer else Outcome.INCORRECT), match[1]

    def observation(self, problem: Problem, text: str) -> str:
        """How many of the last digits are right, counted by adding: "0" to the length of the sum; "-" for no number."""
        match = _ANSWER.fullmatch(text)
        if match is None:
            return "-"
        pairs = zip(reversed(match[1]), reversed(problem.answer), strict=False)
        agree = [said == true for said, true in pairs]
        return str(agree.index(False) if False in agree else len(agree))

    def seeds(self) -> Sequence[Statement]:
        """One sum of each length."""
        return [_statement(int("3" * d), int("4" * d)) for d in self.levels]

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`add<d>`: SET_SIZE sums of each length, or all of them where there are fewer."""
        return {f"add{d}": self._members(d) for d in self.levels}

    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """Digit by digit."""
        left = right = 0
        for place in range(level):
            lowest = int(place == 0)  # no number begins with a zero
            a = rng.randint(lowest, 9 - lowest)
            b = 9 - a if rng.random() < self.nines else rng.randint(lowest, 9)
            left, right = 10 * left + a, 10 * right + b
        return _statement(left, right)

    def _members(self, d: int) -> Sequence[Statement]:
        if d == 1:
            return [_statement(a, b) for a in range(1, 10) for b in range(a, 10)]
        return distinct(lambda rng: self._drawn(rng, d), SET_SIZE, f"sums/{d}/{self.nines}")


def _statement(left: int, right: int) -> Statement:
    d, low, high = len(str(left)), min(left, right), max(left, right)
    return Statement(
        text=f"{left} + {right}",
        canonical=f"+{low} +{high}",
        family=f"{d}d",
        level=d,
        answer=str(left + right),
        answer_source="executed",
    )
