"""Chains of sums and products modulo a number, left to right, in visible steps: "45*7+5*3*8 =" -> "24,29,87,17".

The example has modulus 97. Steps recur in other problems (24 + 5 = 29), and the verdict is on the last value alone, so
credit by the step has something to tell. Answers are read by a pattern and worked out here, never evaluated. Left out:
precedence, differences, and a verdict on the values before the last one; `fails` looks at those for a search.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curriculum.domains.bare import BareDomain, distinct
from curriculum.domains.options import require_integers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MAX_STEPS = 8
MAX_MODULUS = 997
SET_SIZE = 1000  # members of an evaluation set, of which the held-out ones are chosen
STEP_END = ","  # between two values
OPERATORS = "+*"
_PROBLEM = re.compile(r"[ \t\r\n]*([1-9][0-9]{0,5})((?: ?[+*] ?[1-9][0-9]{0,5}){1,32})[ \t\r\n]*")
_OPERATION = re.compile(r"([+*]) ?([1-9][0-9]*)")
_LEFT = re.compile(r"(0|[1-9][0-9]{0,2})((?:[+*][1-9][0-9]{0,5}){1,32}) =")  # a state: what a question asks
_VALUE = re.compile(r" ?(0|[1-9][0-9]{0,8}) ?")


@dataclass(frozen=True, slots=True)
class Operation:
    """What one step does to the value before it: "*7"."""

    operator: str
    operand: int

    def __str__(self) -> str:
        return f"{self.operator}{self.operand}"


@dataclass(frozen=True, slots=True)
class Chain:
    """A first number and what is done to it, or to what earlier steps made of it."""

    value: int
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        return f"{self.value}{''.join(map(str, self.operations))}"

    def after(self, value: int) -> "Chain":
        """The chain that is left after a first step whose value was `value`."""
        return Chain(value, self.operations[1:])

    def executed(self, modulus: int) -> int:
        """What the first operation makes of the value, from 0 to modulus - 1."""
        first = self.operations[0]
        found = self.value + first.operand if first.operator == "+" else self.value * first.operand
        return found % modulus

    def values(self, modulus: int) -> list[int]:
        """The value after each step; the last one is the result."""
        found, left = list[int](), self
        while left.operations:
            left = left.after(left.executed(modulus))
            found.append(left.value)
        return found


class ChainsDomain(BareDomain):
    """Problems of `min_steps` to `max_steps` operations modulo `modulus`, with operands from 2 to `max_operand`.

    The first number is from 1 to modulus - 1. The family and level of a problem are how many steps it has.
    DomainError for impossible options.
    """

    name = "chains"
    step_ends = (STEP_END,)
    challenger_instruction = "Write one such problem that is a little harder. Answer with its text only, like 3*2+3"

    def __init__(self, min_steps: int = 2, max_steps: int = 4, modulus: int = 97, max_operand: int = 9) -> None:
        options = {"min_steps": min_steps, "max_steps": max_steps, "modulus": modulus, "max_operand": max_operand}
        require_integers(options)
        if not 2 <= min_steps <= max_steps <= MAX_STEPS:
            raise DomainError(f"domain_options: chains needs 2 <= min_steps <= max_steps <= {MAX_STEPS}")
        if not 11 <= modulus <= MAX_MODULUS or not 3 <= max_operand < modulus:
            raise DomainError(
                f"domain_options: chains needs 11 <= modulus <= {MAX_MODULUS} and 3 <= max_operand < modulus"
            )
        self.sizes = range(min_steps, max_steps + 1)
        self.levels: Sequence[int] = self.sizes
        self.modulus, self.max_operand = modulus, max_operand
        easy, harder = (str(each) for each in _added_and_multiplied(4, min_steps))
        self.escalation_examples: Sequence[tuple[str, str]] = [(easy, harder)]
        self.solver_instruction = (
            f"Work it out from left to right, every value modulo {modulus}, without precedence. Answer with the value "
            f"after each operation only, like {_joined(Chain(5, (Operation('+', 2), Operation('*', 3))), modulus)} for "
            "5+2*3"
        )
        self.recheck_instruction = f"Try once more, carefully: from left to right, modulo {modulus}. Values only."

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is numbers with + or * between them; TOO_LARGE outside the options; INVALID with an
        operand of 1."""
        match = _PROBLEM.fullmatch(text)
        if match is None:
            return Fate.UNPARSED
        chain = Chain(int(match[1]), tuple(Operation(op, int(n)) for op, n in _OPERATION.findall(match[2])))
        operands = [each.operand for each in chain.operations]
        if len(operands) not in self.sizes or chain.value >= self.modulus or max(operands) > self.max_operand:
            return Fate.TOO_LARGE
        return Fate.INVALID if 1 in operands else self._statement(chain)

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """CORRECT when there are as many values as operations and the last one is right, whatever the others are.

        The answer that is read is the last value.
        """
        values = read_values(text)
        if values is None:
            return Outcome.UNPARSED, None
        wanted = _read(problem).values(self.modulus)
        is_right = len(values) == len(wanted) and values[-1] == wanted[-1]
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), str(values[-1])

    def observation(self, problem: Problem, text: str) -> str:
        """What is left after the values that hold: "left 24+5*3*8" after the first of four, "left 17" after all.

        "step 2 fails, left 24+5*3*8" where the second is not what executing gives, or one too many; "no values"
        without any.
        """
        values = read_values(text)
        if values is None:
            return "no values"
        left = _read(problem)
        for i, value in enumerate(values, 1):
            if not self._holds(left, value):
                return f"step {i} fails, left {left}"
            left = left.after(value)
        return f"left {left}"

    def state(self, problem: Problem, text: str) -> str | None:
        """The last value, right or wrong, with the operations that are left: "29*3*8". None where the text is not
        values, or has more of them than there are operations."""
        values = _begun(text)
        left = _read(problem)
        if values is None or len(values) > len(left.operations):
            return None
        for value in values:
            left = left.after(value)
        return str(left)

    def fails(self, problem: Problem, text: str) -> bool:
        """Whether some value is not what its operation makes of the value before it, or the text is not values.

        Even then the last value may be right, where a second mistake undoes the first.
        """
        values, left = _begun(text), _read(problem)
        if values is None:
            return True
        for value in values:
            if not self._holds(left, value):
                return True
            left = left.after(value)
        return False

    def hints(self, problem: Problem) -> Sequence[str]:
        """The first values: "24", then "24,29" of "24,29,87"."""
        values = [str(value) for value in _read(problem).values(self.modulus)]
        return [STEP_END.join(values[:count]) for count in range(1, len(values))]

    def told(self, problem: Problem) -> Sequence[Sequence[Statement]]:
        """The chain up to the last value that is told, where that is a problem of its own."""
        chain = _read(problem)
        shorter = [Chain(chain.value, chain.operations[:count]) for count in range(1, len(chain.operations))]
        return [[self._statement(each)] if len(each.operations) in self.sizes else [] for each in shorter]

    def easier(self, problem: Problem) -> Sequence[Statement]:
        """The chain without its last operation, where that is a problem of its own."""
        chain = _read(problem)
        shorter = Chain(chain.value, chain.operations[:-1])
        return [self._statement(shorter)] if len(shorter.operations) in self.sizes else []

    def begins(self, problem: Problem) -> str:
        """The question: "45*7+5*3*8 ="."""
        return self.question(problem)

    def executes(self, problem: Problem, state: str, action: str) -> str:
        """The chain that is left where the action is the value after its first operation, "24+5*3*8 =", and the value
        alone after the last one. "45*7 is 24, not 25" where it is another, "no value" where it is none, "nothing to do"
        of a state that is no chain."""
        left, values = self._chain_of(state), read_values(action)
        if left is None:
            return "nothing to do"
        if values is None or len(values) != 1:
            return "no value"
        value = left.executed(self.modulus)
        if values[0] != value:
            return f"{left.value}{left.operations[0]} is {value}, not {values[0]}"
        return _asked(left.after(value))

    def expert(self, problem: Problem, state: str) -> str | None:
        """The value after the first operation."""
        left = self._chain_of(state)
        return None if left is None else str(left.executed(self.modulus))

    @property
    def reflection_examples(self) -> Sequence[tuple[str, str]]:
        left = Chain(5, (Operation("*", 2), Operation("+", 3)))
        value = left.executed(self.modulus)
        shown = f"{_asked(left)}\nTried: 8, which gave: 5*2 is {value}, not 8\nRight: {value}, which gave: "
        return [(f"{shown}{_asked(left.after(value))}", f"5 twice is {value}, and 3 is added later. So: {value}")]

    def _chain_of(self, state: str) -> Chain | None:
        """The chain of a state in which something is left to do."""
        match = _LEFT.fullmatch(state)
        if match is None or int(match[1]) >= self.modulus:
            return None
        return Chain(int(match[1]), tuple(Operation(op, int(n)) for op, n in _OPERATION.findall(match[2])))

    def is_good(self, problem: Problem, text: str) -> bool:
        """Whether every value so far is right: no step fails."""
        return not self.fails(problem, text)

    def seeds(self) -> Sequence[Statement]:
        """Two problems of each size: one of sums, and the same with a product first."""
        return [self._statement(chain) for size in self.sizes for chain in _added_and_multiplied(3, size)]

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`chain<n>`: SET_SIZE problems of each size n, or half of those that there are."""
        return {f"chain{size}": self._members(size) for size in self.sizes}

    def _members(self, size: int) -> Sequence[Statement]:
        kinds = len(OPERATORS) * (self.max_operand - 1)
        there = (self.modulus - 1) * kinds**size
        key = f"chains/{self.modulus}/{self.max_operand}/{size}"
        return distinct(lambda rng: self._drawn(rng, size), min(SET_SIZE, there // 2), key)

    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """A random first number and random operations."""
        first = rng.randint(1, self.modulus - 1)
        operations = [Operation(rng.choice(OPERATORS), rng.randint(2, self.max_operand)) for _ in range(level)]
        return self._statement(Chain(first, tuple(operations)))

    def _statement(self, chain: Chain) -> Statement:
        size = len(chain.operations)
        return Statement(
            text=str(chain),
            canonical=str(chain),
            family=f"{size}s",
            level=size,
            answer=_joined(chain, self.modulus),
            answer_source="executed",
        )

    def _holds(self, left: Chain, value: int) -> bool:
        return bool(left.operations) and left.executed(self.modulus) == value


def read_values(text: str) -> list[int] | None:
    """The values of an answer; None unless all of it is values."""
    matches = [_VALUE.fullmatch(part) for part in text.strip().split(STEP_END)]
    found = [int(match[1]) for match in matches if match is not None]
    return found if len(found) == len(matches) else None


def _begun(text: str) -> list[int] | None:
    """The values of an answer that may go on."""
    return read_values(text.strip().removesuffix(STEP_END))


def _added_and_multiplied(first: int, size: int) -> tuple[Chain, Chain]:
    """Numbers added up, and the same with the first two multiplied. Their results differ by first - 2."""
    rest = tuple(Operation("+", 2 + i % 2) for i in range(1, size))
    return Chain(first, (Operation("+", 2), *rest)), Chain(first, (Operation("*", 2), *rest))


def _asked(left: Chain) -> str:
    """What is left as a question; a chain without operations is its value."""
    return f"{left} =" if left.operations else str(left)


def _read(problem: Problem) -> Chain:
    """The chain of a problem's canonical form, which `parse` has spelled."""
    first = problem.canonical.partition("+")[0].partition("*")[0]
    operations = _OPERATION.findall(problem.canonical)
    return Chain(int(first), tuple(Operation(op, int(n)) for op, n in operations))


def _joined(chain: Chain, modulus: int) -> str:
    return STEP_END.join(map(str, chain.values(modulus)))
