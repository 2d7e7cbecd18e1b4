"""The program of a word problem: an expression over whole numbers with + - * / and parentheses, as a value.

Its syntax is here, and how it is executed. Only the sandbox computes; here integers are compared. Left out: decimals,
unary signs, powers, names.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from curriculum.sandbox import SandboxFailure, evaluate_expression

MAX_CHARS = 120
_MAX_DEPTH = 6  # parentheses inside each other
_TOKEN = re.compile(r" *(0|[1-9][0-9]*|[-+*/()])")  # no leading zero: the sandbox's language refuses "07"


@dataclass(frozen=True, slots=True)
class Operation:
    """`operator` is "+", "-", "*" or "/"."""

    operator: str
    left: "Program"
    right: "Program"


Program = str | Operation  # a str is a number, in ASCII digits without a leading zero


def parse_program(text: str) -> Program | None:
    """The program, or None where the text is not exactly one. Spaces are free between numbers and operators."""
    tokens = _tokens(text)
    if not tokens or len(text) > MAX_CHARS:
        return None
    found = _sum(tokens, 0, 0)
    return found[0] if found is not None and found[1] == len(tokens) else None


def spelled(program: Program) -> str:
    """One space on each side of an operator, and only the parentheses that are needed: "2 * (3 + 4)"."""
    if isinstance(program, str):
        return program
    return f"{_beside(program, program.left)} {program.operator} {_beside(program, program.right, is_right=True)}"


def numbers(program: Program) -> list[str]:
    """Every number, as often as it is used, from left to right."""
    if isinstance(program, str):
        return [program]
    return numbers(program.left) + numbers(program.right)


def operators(program: Program) -> str:
    """Every operator, sorted: "*+" of 2 * 3 + 4."""
    return "".join(sorted(each.operator for each in _operations(program)))


def canonical_form(program: Program) -> str:
    """Equal for programs that differ by the order of what is added or multiplied, and by parentheses that change
    nothing: 4 + 3 * 2 is "+(*2 *3) +4", 9 - 4 + 1 is "+1 +9 -4"."""
    if isinstance(program, str):
        return program
    plus, minus = ("+", "-") if program.operator in "+-" else ("*", "/")
    parts = sorted(_parts(program, plus, minus), key=lambda part: (part[0] == minus, len(part[1]), part[1]))
    return " ".join(sign + (written if written.isdigit() else f"({written})") for sign, written in parts)


def value_of(program: Program) -> int | None:
    """The value, executed in the sandbox; None where it, or any step on the way to it, is negative, fractional or a
    division by zero: nobody gives away more than there is."""
    if isinstance(program, str):
        return int(program)
    value: int | SandboxFailure = SandboxFailure("no step")
    for step in _operations(program):  # inner ones first, so that the last value is that of the whole
        if step.operator == "/" and evaluate_expression(f"({_executed(step.left)}) % ({_executed(step.right)})") != 0:
            return None
        value = evaluate_expression(_executed(step))
        if isinstance(value, SandboxFailure) or value < 0:
            return None
    return None if isinstance(value, SandboxFailure) else value


def after_one_step(program: Program) -> Program | None:
    """The program with its first inner operation replaced by its value; a number where that was the last one.
    None of a number, and where a step has no value (`value_of`)."""
    if isinstance(program, str):
        return None
    if not isinstance(program.left, str):
        after = after_one_step(program.left)
        return None if after is None else replace(program, left=after)
    if not isinstance(program.right, str):
        after = after_one_step(program.right)
        return None if after is None else replace(program, right=after)
    value = value_of(program)
    return None if value is None else str(value)


def _tokens(text: str) -> list[str]:
    tokens, end = [], 0
    text = text.strip(" ")
    while end < len(text):
        found = _TOKEN.match(text, end)
        if found is None:
            return []
        tokens.append(found[1])
        end = found.end()
        if found[1].isdigit() and text[end : end + 1].isdigit():  # "07"
            return []
    return tokens


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Program, int] | None:
    return _chain(tokens, at, depth, "+-")


def _chain(tokens: list[str], at: int, depth: int, signs: str) -> tuple[Program, int] | None:
    """Operands with operators of one rank between them, from left to right, and where they end."""
    found = _operand(tokens, at, depth, signs)
    while found is not None and found[1] < len(tokens) and tokens[found[1]] in signs:
        program, end = found
        right = _operand(tokens, end + 1, depth, signs)
        found = None if right is None else (Operation(tokens[end], program, right[0]), right[1])
    return found


def _operand(tokens: list[str], at: int, depth: int, signs: str) -> tuple[Program, int] | None:
    if signs == "+-":
        return _chain(tokens, at, depth, "*/")
    if at < len(tokens) and tokens[at].isdigit():
        return tokens[at], at + 1
    if at < len(tokens) and tokens[at] == "(" and depth < _MAX_DEPTH:
        found = _sum(tokens, at + 1, depth + 1)
        if found is not None and tokens[found[1] : found[1] + 1] == [")"]:
            return found[0], found[1] + 1
    return None


def _operations(program: Program) -> Iterator[Operation]:
    """Inner ones first."""
    if not isinstance(program, str):
        yield from _operations(program.left)
        yield from _operations(program.right)
        yield program


def _beside(outer: Operation, inner: Program, is_right: bool = False) -> str:
    written = spelled(inner)
    if isinstance(inner, str):
        return written
    is_weaker = inner.operator in "+-" and outer.operator in "*/"
    is_alike = (inner.operator in "+-") == (outer.operator in "+-")
    return f"({written})" if is_weaker or (is_right and is_alike) else written


def _executed(program: Program) -> str:
    """In the sandbox's language, where // divides whole numbers."""
    return spelled(program).replace("/", "//")


def _parts(program: Program, plus: str, minus: str) -> list[tuple[str, str]]:
    """The terms of a sum, or the factors of a product, with their signs, each in canonical form."""
    if isinstance(program, str) or program.operator not in (plus, minus):
        return [(plus, canonical_form(program))]
    flipped = {plus: minus, minus: plus}
    right = _parts(program.right, plus, minus)
    if program.operator == minus:
        right = [(flipped[sign], written) for sign, written in right]
    return _parts(program.left, plus, minus) + right
