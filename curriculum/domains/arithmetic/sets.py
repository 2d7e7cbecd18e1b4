"""The members of the arithmetic evaluation sets, as texts.

One text for each canonical form. A hash decides which order of its operands is shown, so that the smaller operand does
not always come first. Some candidates of `sub2` and `three` have a negative value; the domain, which computes the
values, leaves them out.
"""

import hashlib
from collections.abc import Iterable, Mapping

from curriculum.domains.arithmetic.syntax import Expression, canonical_form, spelled


def candidates() -> Mapping[str, tuple[str, ...]]:
    """add1 (0-9 + 0-9), add2 (10-99 + 10-99), sub2 (10-99 - 10-99), three (three one-digit terms with + and -, the
    first added), mul1 (2-9 * 2-9)."""
    digits, numbers, factors = range(10), range(10, 100), range(2, 10)
    return {
        "add1": _one_each(_pair(a, "+", b) for a in digits for b in digits),
        "add2": _one_each(_pair(a, "+", b) for a in numbers for b in numbers),
        "sub2": _one_each(_pair(a, "-", b) for a in numbers for b in numbers),
        "three": _one_each(_all_three()),
        "mul1": _one_each(_pair(a, "*", b) for a in factors for b in factors),
    }


def _pair(a: int, operator: str, b: int) -> Expression:
    return Expression((str(a), str(b)), (operator,))


def _all_three() -> Iterable[Expression]:
    for a in range(10):
        for b in range(10):
            for c in range(10):
                for signs in ("++", "+-", "-+", "--"):
                    yield Expression((str(a), str(b), str(c)), (signs[0], signs[1]))


def _one_each(expressions: Iterable[Expression]) -> tuple[str, ...]:
    """For each canonical form the spelling with the smallest hash, in the order of first appearance."""
    chosen: dict[str, str] = {}
    for expression in expressions:
        canonical, text = canonical_form(expression), spelled(expression)
        if canonical not in chosen or _shown_first(text) < _shown_first(chosen[canonical]):
            chosen[canonical] = text
    return tuple(chosen.values())


def _shown_first(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
