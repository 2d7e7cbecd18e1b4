"""Chains of sums with visible steps, modulo 10 or 100: "7+8-9 =" -> "7+8=5,5-9=6".

Every step is easy and the answer is right only if all are: with a right step nine times in ten a chain of six is right
half the time. Which step went wrong is what an outcome does not say and a tree does. Source: family F1 of
../shared/design/algorithms.md 15. Left out: products, and numbers of more than two digits.
"""

import random
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from curriculum.domains.bare import BareDomain, at_level, distinct, whole_numbers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_DIGITS = 2
MAX_OPERATIONS = 12
SET_SIZE = 1000  # members of an evaluation set, of which the held-out ones are chosen
STEP_END = ","  # between two steps
_PROBLEM = re.compile(r"[ \t\r\n]*([0-9]{1,2}(?:[+-][0-9]{1,2}){1,99})[ \t\r\n]*")
_TERM = re.compile(r"([+-]?)([0-9]+)")
_STEP = re.compile(r"[0-9]{1,2}[+-][0-9]{1,2}=([0-9]{1,2})")


class ChainsDomain(BareDomain):
    """Problems of `min_operations` to `max_operations` operations on numbers of `digits` digits, modulo 10**digits.

    The family and level of a problem are how many operations it has. DomainError for impossible options.
    """

    name = "chains"
    step_ends = (STEP_END,)
    solver_instruction = "Work from left to right, keep the last digits only. Answer with the steps, like 7+8=5,5-9=6"
    recheck_instruction = "Work through it once more, step by step. Answer in the same form only."
    challenger_instruction = "Write one such problem that is a little longer. Answer with its text only, like 7+8-9"

    def __init__(self, min_operations: int = 4, max_operations: int = 6, digits: int = 1) -> None:
        options = {"min_operations": min_operations, "max_operations": max_operations, "digits": digits}
        whole_numbers("chains", options)
        if not 2 <= min_operations <= max_operations <= MAX_OPERATIONS:
            raise DomainError(f"chains: needs 2 <= min_operations <= max_operations <= {MAX_OPERATIONS}")
        if not 1 <= digits <= MAX_DIGITS:
            raise DomainError(f"chains: digits is {digits}, it must be from 1 to {MAX_DIGITS}")
        self.sizes, self.digits = range(min_operations, max_operations + 1), digits
        easy, harder = (self._seed(number, min_operations) for number in (1, 2))
        self.escalation_examples: Sequence[tuple[str, str]] = [(easy, harder)]

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is numbers of as many digits with + and - between them; TOO_LARGE outside the lengths."""
        match = _PROBLEM.fullmatch(text)
        if match is None or any(len(number) != self.digits for _, number in _TERM.findall(match[1])):
            return Fate.UNPARSED
        stated = self._statement(match[1])
        return stated if stated.level in self.sizes else Fate.TOO_LARGE

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """CORRECT when there are as many steps as operations and the last result is right: slips may cancel out."""
        said = _results(text)
        if said is None:
            return Outcome.UNPARSED, None
        right = _results(problem.answer) or []
        is_right = len(said) == len(right) and said[-1] == right[-1]
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), text.strip()

    def observation(self, problem: Problem, text: str) -> str:
        """The first step that is wrong: "step 2", "none wrong", or "no steps" without any."""
        if _results(text) is None:
            return "no steps"
        right = problem.answer.split(STEP_END)
        said = text.strip().split(STEP_END)
        wrong = [i for i, step in enumerate(said) if i >= len(right) or step != right[i]]
        return f"step {wrong[0] + 1}" if wrong else "none wrong"

    def state(self, problem: Problem, text: str) -> str | None:
        """The number that the next operation takes; None where it cannot be read."""
        said = _results(text.removesuffix(STEP_END))
        return None if said is None else said[-1]

    def seeds(self) -> Sequence[Statement]:
        """Two problems of each length: one that adds 1 throughout, one 2."""
        return [self._statement(self._seed(number, size)) for size in self.sizes for number in (1, 2)]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """Random numbers and operations. Levels go round the allowed lengths, so that levels drawn uniformly give each
        its share. ValueError for a level under 1."""
        return self._drawn(rng, at_level(self.sizes, level))

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`chains<n>`: SET_SIZE problems of each length n."""
        return {f"chains{size}": self._members(size) for size in self.sizes}

    def _members(self, size: int) -> Sequence[Statement]:
        return distinct(lambda rng: self._drawn(rng, size), SET_SIZE, f"chains/{self.digits}/{size}")

    def _drawn(self, rng: random.Random, size: int) -> Statement:
        numbers = [self._spelled(rng.randrange(10**self.digits)) for _ in range(size + 1)]
        return self._statement(numbers[0] + "".join(rng.choice("+-") + number for number in numbers[1:]))

    def _statement(self, text: str) -> Statement:
        terms = _TERM.findall(text)
        totals = [self._spelled(total % 10**self.digits) for total in accumulate(int(s + n) for s, n in terms)]
        steps = [f"{before}{s}{n}={after}" for (before, after), (s, n) in zip(pairwise(totals), terms[1:], strict=True)]
        return Statement(
            text=text,
            canonical=text,
            family=f"{len(steps)}s",
            level=len(steps),
            answer=STEP_END.join(steps),
            answer_source="executed",
        )

    def _seed(self, number: int, size: int) -> str:
        return "+".join([self._spelled(number)] * (size + 1))

    def _spelled(self, number: int) -> str:
        return f"{number:0{self.digits}d}"


def _results(text: str) -> list[str] | None:
    """What stands after each step of an answer; None unless all of it is steps."""
    steps = [_STEP.fullmatch(step) for step in text.strip().split(STEP_END)]
    found = [step[1] for step in steps if step is not None]
    return found if len(found) == len(steps) else None
