"""The syntax of the arithmetic domain: an expression over non-negative integers with + - *, as a value.

Parsing, the canonical form, the family, the level and the trivial edits are here; values are not: only the sandbox
computes. Left out: parentheses, division, unary signs, decimals.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9][0-9]*)"
# Every character has one way to match, so the time is linear in the text; \d would take other scripts' digits.
_EXPRESSION = re.compile(rf" *{_NUMBER}(?: *[+\-*] *{_NUMBER})* *")
_TOKEN = re.compile(r"[0-9]+|[+\-*]")

Term = tuple[str, tuple[str, ...]]  # sign "+" or "-", and the factors, as digit strings


@dataclass(frozen=True, slots=True)
class Expression:
    """`operands` are digit strings without leading zeros; `operators`, one fewer, each "+", "-" or "*"."""

    operands: tuple[str, ...]
    operators: tuple[str, ...]


def parse_expression(text: str) -> Expression | None:
    """The expression, or None when the text is not exactly one. Spaces around numbers and operators are free."""
    if not _EXPRESSION.fullmatch(text):
        return None
    tokens = _TOKEN.findall(text)
    return Expression(operands=tuple(tokens[0::2]), operators=tuple(tokens[1::2]))


def spelled(expression: Expression) -> str:
    """With one space on each side of every operator: "47 + 38"."""
    parts = [expression.operands[0]]
    for operator, operand in zip(expression.operators, expression.operands[1:], strict=True):
        parts += [operator, operand]
    return " ".join(parts)


def canonical_form(expression: Expression) -> str:
    """Signed terms, the added ones first, sorted by number inside: 5 - 2 + 4 * 3 is "+3*4 +5 -2"."""
    return _written(_terms(expression))


def without_neutral(expression: Expression) -> str:
    """The canonical form with added and subtracted zeros and factors of one left out: 5 + 0 and 5 * 1 are both "+5"."""
    terms: list[Term] = []
    for sign, factors in _terms(expression):
        kept = tuple(factor for factor in factors if factor != "1") or ("1",)
        if kept != ("0",):
            terms.append((sign, kept))
    return _written(terms) or "+0"


def family_of(expression: Expression) -> str:
    """The shape and, for sums and differences, the number of carries and borrows of column addition: 5 + 47 is
    "dd+d c1", 15 + 42 is "dd+dd". Carries decide more than the shape how hard a sum is."""
    marks = 0 if "*" in expression.operators else _carries(_terms(expression))
    return shape_of(expression) + (f" c{marks}" if marks else "")


def shape_of(expression: Expression) -> str:
    """With a d for each digit; terms with more factors and digits come first: 5 + 47 is "dd+d"."""
    shapes = [
        (sign, tuple(sorted((len(factor) for factor in factors), reverse=True))) for sign, factors in _terms(expression)
    ]
    shapes.sort(key=lambda shape: (shape[0] == "-", -len(shape[1]), tuple(-digits for digits in shape[1])))
    text = "".join(sign + "*".join("d" * digits for digits in factors) for sign, factors in shapes)
    return text.removeprefix("+")


def level_of(expression: Expression) -> int:
    """Size, >= 1: all digits, less one; plus one for each operand beyond two and for each minus; plus, for each
    product, the one-digit products that long multiplication takes.

    d+d 1, dd+d 2, dd+dd 3, ddd+ddd 5; d-d 2, dd-dd 4; d+d+d 3, d+d-d 4; d*d 2, dd*d 4, dd*dd 7.
    """
    digits = sum(len(operand) for operand in expression.operands)
    products = 0
    for _, factors in _terms(expression):
        width = len(factors[0])
        for factor in factors[1:]:
            products += width * len(factor)
            width += len(factor)
    more_operands = max(0, len(expression.operands) - 2)
    return max(1, digits - 1 + more_operands + expression.operators.count("-") + products)


def _terms(expression: Expression) -> list[Term]:
    """Sorted: added before subtracted, then by the factors' values; factors sorted by value."""
    terms: list[tuple[str, list[str]]] = [("+", [expression.operands[0]])]
    for operator, operand in zip(expression.operators, expression.operands[1:], strict=True):
        if operator == "*":
            terms[-1][1].append(operand)
        else:
            terms.append((operator, [operand]))
    ordered = [(sign, tuple(sorted(factors, key=_by_value))) for sign, factors in terms]
    return sorted(ordered, key=lambda term: (term[0] == "-", [_by_value(factor) for factor in term[1]]))


def _carries(terms: Sequence[Term]) -> int:
    """How many columns of column addition carry or borrow."""
    numbers = [(-1 if sign == "-" else 1, digits[::-1]) for sign, (digits,) in terms]
    handed = carries = 0
    for column in range(max(len(digits) for _, digits in numbers)):
        handed = (handed + sum(sign * int(digits[column]) for sign, digits in numbers if column < len(digits))) // 10
        carries += handed != 0
    return carries


def _by_value(digits: str) -> tuple[int, str]:
    """Orders digit strings as numbers, without int(): a model may write thousands of digits."""
    return len(digits), digits


def _written(terms: Sequence[Term]) -> str:
    return " ".join(sign + "*".join(factors) for sign, factors in terms)
