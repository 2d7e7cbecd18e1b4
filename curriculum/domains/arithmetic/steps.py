"""An expression worked out by steps: what executing one operation of it leaves. Values come from the sandbox alone.

A state is a question, "38 + 47 - 12 =", and an action a number. Left out: the order of sums and differences, which are
done from left to right.
"""

import re
from dataclasses import dataclass

from curriculum.domains.arithmetic.syntax import Expression, parse_expression, spelled
from curriculum.sandbox import MAX_SOURCE_CHARS, SandboxFailure, evaluate_expression

_NUMBER = re.compile(r"[ \t\r\n]*(0|-?[1-9][0-9]{0,17})[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation, its value, and what is left after it."""

    said: str
    value: int
    left: str


def executed(state: str, action: str) -> str:
    """The state after an action, or what executing it gave. Never raises."""
    steps = _steps(state)
    if not steps:
        return "nothing to do"
    number = _NUMBER.fullmatch(action)
    if number is None:
        return "no number"
    for step in steps:
        if step.value == int(number[1]):
            return step.left
    return f"{steps[0].said} is {steps[0].value}, not {number[1]}"


def expert(state: str) -> str | None:
    """The right action; None where nothing is left to do."""
    steps = _steps(state)
    return str(steps[0].value) if steps else None


def _steps(state: str) -> list[_Step]:
    """The first operation, where what it leaves can be written, and the whole; nothing of another text."""
    if len(state) > MAX_SOURCE_CHARS or not state.endswith(" ="):
        return []
    expression = parse_expression(state.removesuffix(" ="))
    if expression is None or not expression.operators:
        return []
    whole = _valued(spelled(expression))
    return [each for each in (_first(expression), whole) if each is not None]


def _first(expression: Expression) -> _Step | None:
    """None where it is the whole, has no value, or one below 0, which no expression can go on with."""
    operands, operators = expression.operands, expression.operators
    if len(operators) == 1:
        return None
    at = operators.index("*") if "*" in operators else 0
    step = _valued(spelled(Expression(operands[at : at + 2], operators[at : at + 1])))
    if step is None or step.value < 0:
        return None
    left = Expression((*operands[:at], str(step.value), *operands[at + 2 :]), (*operators[:at], *operators[at + 1 :]))
    return _Step(step.said, step.value, f"{spelled(left)} =")


def _valued(text: str) -> _Step | None:
    value = evaluate_expression(text)
    return None if isinstance(value, SandboxFailure) else _Step(text, value, str(value))
