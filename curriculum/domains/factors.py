"""Products of two primes to be factored, "221 =" -> "13*17": finding takes a search, checking one product.

Used by the experiments of selfplay/lab. Answers come from Python's own products; text of a model is read as two
numbers and multiplied, never evaluated. Left out: more than two factors, and primes above 997.
"""

import random
import re
from collections.abc import Mapping, Sequence

from curriculum.domains.bare import BareDomain
from curriculum.domains.options import require_integers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_PRIME = 997
SET_SIZE = 2000  # members of an evaluation set, of which the held-out ones are chosen
_PROBLEM = re.compile(r"[ \t\r\n]*([1-9][0-9]{0,17})[ \t\r\n]*")
_ANSWER = re.compile(r"[ \t\r\n]*([1-9][0-9]{0,17})[ ]?\*[ ]?([1-9][0-9]{0,17})[ \t\r\n]*")


class FactorsDomain(BareDomain):
    """Products p*q of primes, `min_prime` <= p <= q <= `max_prime`. DomainError for impossible options.

    The family and level of a problem are the number of digits of the product.
    """

    name = "factors"
    solver_instruction = "Take the number apart into two primes, the smaller first. Answer like 3*5 only."
    recheck_instruction = "Do it once more, carefully: multiply to check. Answer like 3*5 only."
    challenger_instruction = "Write one product of two primes that is a little harder to take apart: the product only."

    def __init__(self, min_prime: int = 2, max_prime: int = 31) -> None:
        options = {"min_prime": min_prime, "max_prime": max_prime}
        require_integers(options)
        for option, value in options.items():
            if not 2 <= value <= MAX_PRIME:
                raise DomainError(f"domain_options.{option} is {value!r}: it must be from 2 to {MAX_PRIME}")
        primes = [n for n in range(min_prime, max_prime + 1) if _is_prime(n)]
        if len(primes) < 3:
            raise DomainError(
                f"domain_options: factors needs three primes from min_prime={min_prime} to max_prime={max_prime}"
            )
        self._pairs = {p * q: (p, q) for i, p in enumerate(primes) for q in primes[i:]}
        ordered = sorted(self._pairs)
        self.escalation_examples: Sequence[tuple[str, str]] = [
            (str(ordered[len(ordered) // 3]), str(ordered[len(ordered) // 2]))
        ]
        self.levels = sorted({len(str(product)) for product in self._pairs})
        self._of_level = {level: [n for n in self._pairs if len(str(n)) == level] for level in self.levels}

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is a positive integer; INVALID unless it is a product of two of the primes; TOO_LARGE
        above the largest one."""
        match = _PROBLEM.fullmatch(text)
        if match is None:
            return Fate.UNPARSED
        number = int(match[1])
        if number in self._pairs:
            return self._stated(number)
        return Fate.TOO_LARGE if number > max(self._pairs) else Fate.INVALID

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """The two numbers read from `text`, the smaller one first, against the primes."""
        match = _ANSWER.fullmatch(text)
        if match is None:
            return Outcome.UNPARSED, None
        answer = f"{match[1]}*{match[2]}"
        return (Outcome.CORRECT if answer == problem.answer else Outcome.INCORRECT), answer

    def observation(self, problem: Problem, text: str) -> str:
        """The product of the answer, worked out: "13 * 19 = 247"; "no product" where there is none to work out."""
        match = _ANSWER.fullmatch(text)
        if match is None:
            return "no product"
        return f"{match[1]} * {match[2]} = {int(match[1]) * int(match[2])}"

    def seeds(self) -> Sequence[Statement]:
        """The smallest product of each number of digits, and the largest one of all."""
        numbers = {min(self._of_level[level]) for level in self.levels} | {max(self._pairs)}
        return [self._stated(number) for number in sorted(numbers)]

    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """Uniform over the products with this number of digits."""
        return self._stated(rng.choice(self._of_level[level]))

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`factor<d>`: the products of d digits, in an order drawn once, at most SET_SIZE; none with fewer than 4."""
        return {
            f"factor{level}": [self._stated(n) for n in _shuffled(numbers, level)[:SET_SIZE]]
            for level, numbers in self._of_level.items()
            if len(numbers) >= 4
        }

    def _stated(self, number: int) -> Statement:
        p, q = self._pairs[number]
        digits = len(str(number))
        return Statement(
            text=str(number),
            canonical=str(number),
            family=f"{digits}d",
            level=digits,
            answer=f"{p}*{q}",
            answer_source="executed",
        )


def _is_prime(n: int) -> bool:
    return n >= 2 and all(n % d for d in range(2, int(n**0.5) + 1))


def _shuffled(numbers: Sequence[int], level: int) -> list[int]:
    """In an order that depends on the level and the numbers alone."""
    return random.Random(f"factors/{level}").sample(list(numbers), len(numbers))
