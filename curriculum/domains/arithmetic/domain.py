"""Arithmetic: sums, differences and products of a few small non-negative integers, judged by executing them.

A value may not be negative and stays under a limit. Left out: parentheses, division, negative operands. Every number
that decides something, also the answer of a problem, comes from the sandbox; here integers are only compared.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from curriculum.answers.comparing import side_of
from curriculum.domains.arithmetic import sets
from curriculum.domains.arithmetic.shapes import drawn_expression, known_levels, known_shapes
from curriculum.domains.arithmetic.steps import executed, expert
from curriculum.domains.arithmetic.syntax import (
    Expression,
    canonical_form,
    family_of,
    level_of,
    parse_expression,
    spelled,
    without_neutral,
)
from curriculum.domains.arithmetic.undoing import undone
from curriculum.domains.arithmetic.working import computed, parts, worked_out
from curriculum.domains.likeness import alike
from curriculum.domains.options import require_integer
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError, read_seeds
from curriculum.sandbox import MAX_SOURCE_CHARS, SandboxFailure, evaluate_expression, evaluate_expressions
from store.records import Fate, Outcome, Problem

_SHIPPED_SEEDS = Path(__file__).parents[1] / "seeds" / "arithmetic.jsonl"
_DRAWS_PER_LEVEL = 100
_MAX_DRAWN_LEVEL = 8  # up to products of a two-digit number and sums of three-digit ones: what a small model can learn
_ANSWER = re.compile(r"[ \t\r\n]*(0|-?[1-9][0-9]{0,17})[ \t\r\n]*")  # ASCII digits, no leading zero, no "-0"

_DIGIT = re.compile("[0-9]")


class ArithmeticDomain:
    """Expressions of 2 to `max_operands` operands of up to `max_digits` digits, with 0 <= value < `max_value`.

    `seeds_path` names a JSONL file of one's own; without it the shipped dozen of one-digit problems is used,
    as far as they are within the limits. `drawn_shapes` names what `draw` is limited to, such as ["dd+dd", "dd-dd"] for
    sums and differences of two-digit numbers; without it, it draws every shape.
    """

    name = "arithmetic"
    step_ends: Sequence[str] = ()
    # A small model leans on what it read last: with the sums there, SmolLM2-135M gets three times as many two-digit
    # sums right at temperature 1 as with the product there (docs/notebook/tried.md).
    solver_examples: Sequence[tuple[str, str]] = (
        ("28 - 13 =", "15"),
        ("3 * 4 =", "12"),
        ("6 + 3 =", "9"),
        ("34 + 15 =", "49"),
    )
    escalation_examples: Sequence[tuple[str, str]] = (
        ("3 + 4", "13 + 4"),
        ("17 - 5", "47 - 15"),
        ("2 * 3", "4 * 7"),
        ("5 + 2", "5 + 2 + 6"),
        ("34 + 15", "38 + 47"),
    )
    reflection_examples: Sequence[tuple[str, str]] = (
        (
            "28 + 15 =\nTried: 33, which gave: 28 + 15 is 43, not 33\nRight: 43, which gave: 43",
            "8 and 5 are 13, so one more ten is carried than in 33. So: 43",
        ),
    )
    solver_instruction = "Compute the expression. Answer with the number only."
    recheck_instruction = "Compute it once more, carefully, and answer with the number only."
    challenger_instruction = (
        "Write one arithmetic problem that is a little harder than the given one. Use non-negative integers of up to "
        "three digits with +, - and *, without parentheses and with no negative result. Answer with "
        "the expression only."
    )

    def __init__(
        self,
        max_operands: int = 4,
        max_digits: int = 3,
        max_value: int = 10**6,
        seeds_path: str | None = None,
        drawn_shapes: Sequence[str] = (),
    ) -> None:
        for option, value, low, high in (
            ("max_operands", max_operands, 2, 6),
            ("max_digits", max_digits, 1, 9),
            ("max_value", max_value, 100, 10**15),
        ):
            require_integer(option, value, low, high)
        if not isinstance(seeds_path, str | None):
            raise DomainError(f"domain_options.seeds_path is {seeds_path!r}: it must be the path of a JSONL file")
        self.max_operands = max_operands
        self.max_digits = max_digits
        self.max_value = max_value
        self._drawn_shapes = _checked_shapes(drawn_shapes, known_shapes(max_operands, max_digits))
        levels = known_levels(max_operands, max_digits, self._drawn_shapes)
        self.levels = levels if drawn_shapes else [each for each in levels if each <= _MAX_DRAWN_LEVEL]
        self._seeds_path = _SHIPPED_SEEDS if seeds_path is None else Path(seeds_path)

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless the text is one expression; TOO_LARGE by operands, digits or value; INVALID without an
        operator, with a negative value, or where the sandbox finds no value."""
        expression = parse_expression(text)
        if expression is None:
            return Fate.UNPARSED
        fate = self._misfit(expression)
        if fate is not None:
            return fate
        return self._stated(expression, evaluate_expression(spelled(expression)))

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether the child is the parent with its operands reordered, or with + 0, - 0 or * 1 put in or taken out."""
        if child.canonical == parent.canonical:
            return True
        before, after = parse_expression(parent.text), parse_expression(child.text)
        return before is not None and after is not None and without_neutral(before) == without_neutral(after)

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """Exact: the problem's expression is executed and the integers are compared. One integer, and nothing else,
        is an answer."""
        match = _ANSWER.fullmatch(text)
        if match is None:
            return Outcome.UNPARSED, None
        answer = match.group(1)
        value = evaluate_expression(problem.text)
        if isinstance(value, SandboxFailure):
            return Outcome.UNJUDGED, answer
        return (Outcome.CORRECT if int(answer) == value else Outcome.INCORRECT), answer

    def closeness(self, problem: Problem, target: Problem) -> float:
        """By the canonical forms with a d for each digit: which numbers stand in a sum matters little to what is
        learned from it, so any sum of two-digit numbers is 1 from any other."""
        return alike(_DIGIT.sub("d", problem.canonical), _DIGIT.sub("d", target.canonical))

    def check_again(self, problem: Problem, text: str) -> tuple[bool | None, str]:
        """By undoing what is asked, on integers of Python's own; of the answer only blanks and line ends are left out.
        None for a text that is no expression."""
        expression = parse_expression(problem.text)
        means = "undoing the operations, last one first"
        return (None if expression is None else undone(expression, text.strip(" \t\r\n"))), means

    def hints(self, problem: Problem) -> Sequence[str]:
        """What is left after each operation: 30 + 7 + 5 leaves 37 + 5. A single one is split by digits first."""
        expression = parse_expression(problem.text)
        return [] if expression is None else worked_out(expression)

    def told(self, problem: Problem) -> Sequence[Sequence[Statement]]:
        """What is left as a problem of its own, and the operation whose value it has: 30 + 7 and 37 + 5."""
        expression = parse_expression(problem.text)
        found = [] if expression is None else computed(expression)
        stated = [[self.parse(spelled(each)) for each in told] for told in found]
        return [[each for each in told if isinstance(each, Statement)] for told in stated]

    def easier(self, problem: Problem) -> Sequence[Statement]:
        """Its products, or else all but its last operand."""
        expression = parse_expression(problem.text)
        stated = [] if expression is None else [self.parse(spelled(part)) for part in parts(expression)]
        return [each for each in stated if isinstance(each, Statement)]

    def observation(self, problem: Problem, text: str) -> str:
        """How the number compares with the value: "too low", "too high" or "equal"; "no number" without one."""
        found = _ANSWER.fullmatch(text)
        return "no number" if found is None else side_of(int(found[1]), int(problem.answer))

    def begins(self, problem: Problem) -> str:
        """The question: "38 + 47 - 12 ="."""
        return self.question(problem)

    def executes(self, problem: Problem, state: str, action: str) -> str:
        """The expression that is left where the action is the value of its first operation, "85 - 12 =", products
        before sums; the value alone where it is that of the whole. "38 + 47 is 85, not 84" where it is neither, "no
        number" where it is none, "nothing to do" of a state that is no expression."""
        return executed(state, action)

    def expert(self, problem: Problem, state: str) -> str | None:
        """The value of the first operation, or of all of it where that one is below 0."""
        return expert(state)

    def question(self, problem: Problem) -> str:
        return f"{problem.text} ="

    def seeds(self) -> Sequence[Statement]:
        return self._seeds

    def shown_examples(self) -> Sequence[Statement]:
        texts = [question.removesuffix("=") for question, _ in self.solver_examples]
        texts += [text for pair in self.escalation_examples for text in pair]
        return [statement for statement in map(self.parse, texts) if isinstance(statement, Statement)]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """Uniform over the shapes of the level, then over operands, redrawn until valid; where the value limit leaves
        next to nothing of a level, from the level below it. Levels above `levels` are drawn too."""
        lowest = min(self.levels)
        for lower in range(level, lowest - 1, -1):
            for _ in range(_DRAWS_PER_LEVEL):
                expression = drawn_expression(rng, lower, self.max_operands, self.max_digits, self._drawn_shapes)
                statement = self._stated(expression, evaluate_expression(spelled(expression)))
                if isinstance(statement, Statement):
                    return statement
        raise ValueError(f"arithmetic has no problem of level {level}: levels start at {lowest}")

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """add1, add2, sub2, three and mul1, as far as their problems are within the limits: see sets.py."""
        return self._evaluation_sets

    @cached_property
    def _seeds(self) -> tuple[Statement, ...]:
        left_out = (Fate.TOO_LARGE,) if self._seeds_path == _SHIPPED_SEEDS else ()
        return read_seeds(self._seeds_path, self.parse, left_out=left_out)

    @cached_property
    def _evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        found = {name: self._stated_all(texts) for name, texts in sets.candidates().items()}
        return {name: members for name, members in found.items() if members}

    def _stated_all(self, texts: Sequence[str]) -> tuple[Statement, ...]:
        """The valid ones, evaluated many at a time: the sets have thousands of members."""
        values = evaluate_expressions(texts)
        members: list[Statement] = []
        for text, value in zip(texts, values, strict=True):
            expression = parse_expression(text)
            if expression is None:
                raise DomainError(f"arithmetic: {text!r} of an evaluation set is not an expression")
            statement = self._misfit(expression) or self._stated(expression, value)
            if isinstance(statement, Statement):
                members.append(statement)
        return tuple(members)

    def _misfit(self, expression: Expression) -> Fate | None:
        """What is wrong before anything is computed."""
        if len(expression.operands) > self.max_operands:
            return Fate.TOO_LARGE
        if max(map(len, expression.operands)) > self.max_digits or len(spelled(expression)) > MAX_SOURCE_CHARS:
            return Fate.TOO_LARGE
        return None if expression.operators else Fate.INVALID

    def _stated(self, expression: Expression, value: int | SandboxFailure) -> Statement | Fate:
        if isinstance(value, SandboxFailure) or value < 0:
            return Fate.INVALID
        if value >= self.max_value:
            return Fate.TOO_LARGE
        return Statement(
            text=spelled(expression),
            canonical=canonical_form(expression),
            family=family_of(expression),
            level=level_of(expression),
            answer=str(value),
            answer_source="executed",
        )


def _checked_shapes(shapes: object, known: Sequence[str]) -> tuple[str, ...]:
    """`shapes` as given. DomainError unless it is a list of names of `known`."""
    if not isinstance(shapes, Sequence) or isinstance(shapes, str) or not all(isinstance(each, str) for each in shapes):
        raise DomainError(f"domain_options.drawn_shapes is {shapes!r}: it must be a list of shapes such as dd+dd")
    if unknown := [each for each in shapes if each not in known]:
        raise DomainError(
            f"domain_options.drawn_shapes: {unknown[0]!r} is none of the {len(known)} shapes in these limits: write "
            "a d for each digit and an operator between two operands, longer ones first, such as dd+d"
        )
    return tuple(shapes)
