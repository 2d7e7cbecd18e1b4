"""A target to be reached from given numbers, each used once, in visible steps: "3 5 8: 16 =" -> "3+5=8,8+8=16".

Finding the steps takes a search, and checking them takes a few sums. A first step that is true can still make the
target impossible to reach, so a tree search over steps has something to find. Steps are read by a pattern and worked
out here, never evaluated.
Left out: division, steps whose result is below 1, and leaving numbers unused.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from curriculum.domains.bare import BareDomain, distinct
from curriculum.domains.options import require_integers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_NUMBERS = 4  # of a problem: every way to combine them is tried
MAX_NUMBER = 99
SET_SIZE = 1000  # members of an evaluation set, of which the held-out ones are chosen
STEP_END = ","  # between two steps
_PROBLEM = re.compile(r"[ \t\r\n]*([1-9][0-9]{0,2}(?: [1-9][0-9]{0,2}){1,7}) ?: ?([1-9][0-9]{0,5})[ \t\r\n]*")
_STEP = re.compile(r" ?([1-9][0-9]{0,8}) ?([+*-]) ?([1-9][0-9]{0,8}) ?= ?([1-9][0-9]{0,17}) ?")
Numbers = tuple[int, ...]  # what is there to be used, rising


@dataclass(frozen=True, slots=True)
class Step:
    """left op right = result, as it was said: the result may be wrong."""

    left: int
    op: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left}{self.op}{self.right}={self.result}"

    @property
    def is_true(self) -> bool:
        return _worked_out(self.left, self.op, self.right) == self.result


class CountdownDomain(BareDomain):
    """Problems of `min_numbers` to `max_numbers` numbers from 1 to `max_number`, with targets up to `max_target`.

    The family and level of a problem are how many numbers it has. DomainError for impossible options.
    """

    name = "countdown"
    step_ends = (STEP_END,)
    solver_instruction = (
        "Reach the target with + - *, every number used once. Answer with the steps only, like 3+5=8,8+8=16"
    )
    recheck_instruction = "Try once more, carefully: every number once, the last step gives the target. Steps only."
    challenger_instruction = "Write one such problem that is a little harder. Answer with its text only, like 3 5 8: 16"

    def __init__(self, min_numbers: int = 3, max_numbers: int = 4, max_number: int = 10, max_target: int = 100) -> None:
        options = {
            "min_numbers": min_numbers, "max_numbers": max_numbers, "max_number": max_number, "max_target": max_target,
        }  # fmt: skip
        require_integers(options)
        if not 3 <= min_numbers <= max_numbers <= MAX_NUMBERS:
            raise DomainError(f"domain_options: countdown needs 3 <= min_numbers <= max_numbers <= {MAX_NUMBERS}")
        if not 9 <= max_number <= MAX_NUMBER or not 50 <= max_target <= 10**5:
            raise DomainError(
                f"domain_options: countdown needs 9 <= max_number <= {MAX_NUMBER} and 50 <= max_target <= {10**5}"
            )
        self.levels = range(min_numbers, max_numbers + 1)
        self.max_number, self.max_target = max_number, max_target
        smallest = tuple(range(2, 2 + min_numbers))
        easy, harder = (f"{_joined(smallest)}: {target}" for target in _seed_targets(smallest))
        self.escalation_examples: Sequence[tuple[str, str]] = [(easy, harder)]

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is numbers, a colon and a target; TOO_LARGE outside the options; INVALID where no steps
        reach the target."""
        match = _PROBLEM.fullmatch(text)
        if match is None:
            return Fate.UNPARSED
        numbers, target = tuple(sorted(map(int, match[1].split()))), int(match[2])
        if len(numbers) not in self.levels or max(numbers) > self.max_number or target > self.max_target:
            return Fate.TOO_LARGE
        return _statement(numbers, target) or Fate.INVALID

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """CORRECT when every step is true and uses numbers that are there, and the target alone is left.

        Of several ways to the target each is right: `Problem.answer` is only one of them.
        """
        steps = read_steps(text)
        if steps is None:
            return Outcome.UNPARSED, None
        numbers, target = _read(problem)
        is_right = left_after(numbers, steps) == (target,)
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), STEP_END.join(map(str, steps))

    def observation(self, problem: Problem, text: str) -> str:
        """What is left after the steps that hold: "left 8 8" after one step of three numbers, "left 16" after two.

        "step 2 fails, left 8 8" where the second is untrue or uses what is not there; "no steps" without any.
        """
        steps = read_steps(text)
        if steps is None:
            return "no steps"
        left, _ = _read(problem)
        for i, step in enumerate(steps, 1):
            after = left_after(left, [step])
            if after is None:
                return f"step {i} fails, left {_joined(left)}"
            left = after
        return f"left {_joined(left)}"

    def state(self, problem: Problem, text: str) -> str | None:
        """The numbers that are left, "8 8"; None after a step that fails."""
        left = _left(problem, text)
        return None if left is None else _joined(left)

    def fails(self, problem: Problem, text: str) -> bool:
        """Whether a step is untrue, uses a number that is not there, or is no step at all."""
        return _left(problem, text) is None

    def is_good(self, problem: Problem, text: str) -> bool:
        """Whether no step fails and the target can be reached from what is left, found by trying."""
        left = _left(problem, text)
        return left is not None and solution(left, _read(problem)[1]) is not None

    def seeds(self) -> Sequence[Statement]:
        """Two problems of each size: all numbers added up, and the first two multiplied before that."""
        sizes = [tuple(range(3, 3 + size)) for size in self.levels]
        stated = [_statement(numbers, target) for numbers in sizes for target in _seed_targets(numbers)]
        return [each for each in stated if each is not None]

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`countdown<n>`: SET_SIZE problems of each size n."""
        return {f"countdown{size}": self._members(size) for size in self.levels}

    def _members(self, size: int) -> Sequence[Statement]:
        key = f"countdown/{self.max_number}/{self.max_target}/{size}"
        return distinct(lambda rng: self._drawn(rng, size), SET_SIZE, key)

    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """Random numbers, combined at random until the target is in range."""
        while True:
            numbers = tuple(sorted(rng.randint(1, self.max_number) for _ in range(level)))
            left = numbers
            while len(left) > 1:
                left = rng.choice([after for _, after in moves(left)])
            if left[0] <= self.max_target and (stated := _statement(numbers, left[0])):
                return stated


def read_steps(text: str) -> list[Step] | None:
    """The steps of an answer; None unless all of it is steps."""
    matches = [_STEP.fullmatch(part) for part in text.strip().split(STEP_END)]
    found = [Step(int(m[1]), m[2], int(m[3]), int(m[4])) for m in matches if m is not None]
    return found if len(found) == len(matches) else None


def left_after(numbers: Numbers, steps: Sequence[Step]) -> Numbers | None:
    """What is left when each step has taken its two numbers and put its result back; None where one fails."""
    left = list(numbers)
    for step in steps:
        if not step.is_true:
            return None
        for used in (step.left, step.right):
            if used not in left:
                return None
            left.remove(used)
        left.append(step.result)
    return tuple(sorted(left))


def moves(numbers: Numbers) -> Iterator[tuple[Step, Numbers]]:
    """Every step that can be taken, each once, with what it leaves. At least one where there are two numbers."""
    for left, right in dict.fromkeys(permutations(numbers, 2)):
        for op in "+*-":
            if op != "-" and left > right:
                continue  # the same numbers the other way round
            if (result := _worked_out(left, op, right)) >= 1:
                step = Step(left, op, right, result)
                after = left_after(numbers, [step])
                assert after is not None
                yield step, after


@lru_cache(maxsize=4096)
def solution(numbers: Numbers, target: int) -> tuple[Step, ...] | None:
    """Steps that reach `target` with every number, the first that is found; None where there are none."""
    if len(numbers) == 1:
        return () if numbers[0] == target else None
    for step, after in moves(numbers):
        rest = solution(after, target)
        if rest is not None:
            return (step, *rest)
    return None


def _worked_out(left: int, op: str, right: int) -> int:
    return left + right if op == "+" else left * right if op == "*" else left - right


def _statement(numbers: Numbers, target: int) -> Statement | None:
    """None where the target cannot be reached."""
    steps = solution(numbers, target)
    if steps is None:
        return None
    text = f"{_joined(numbers)}: {target}"
    return Statement(
        text=text,
        canonical=text,
        family=f"{len(numbers)}n",
        level=len(numbers),
        answer=STEP_END.join(map(str, steps)),
        answer_source="executed",
    )


def _seed_targets(numbers: Numbers) -> tuple[int, int]:
    return sum(numbers), numbers[0] * numbers[1] + sum(numbers[2:])


def _read(problem: Problem) -> tuple[Numbers, int]:
    numbers, target = problem.canonical.split(":")
    return tuple(map(int, numbers.split())), int(target)


def _left(problem: Problem, text: str) -> Numbers | None:
    """What an answer that may go on has left; None after a step that fails."""
    steps = read_steps(text.strip().removesuffix(STEP_END))
    return None if steps is None else left_after(_read(problem)[0], steps)


def _joined(numbers: Numbers) -> str:
    return " ".join(map(str, numbers))
