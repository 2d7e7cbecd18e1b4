"""How an expression is worked out by hand: what is left of it after each operation, and which parts it has.

Only the sandbox computes. Left out: operations that go below 0 on the way.
"""

from collections.abc import Iterator

from curriculum.domains.arithmetic.syntax import Expression, parse_expression, spelled
from curriculum.sandbox import SandboxFailure, evaluate_expression


def worked_out(expression: Expression) -> list[str]:
    """What is left after each operation but the last: products first, then from left to right.

    12 + 3 * 4 - 5 leaves 12 + 12 - 5, then 24 - 5. An expression with one operation is first split by the digits of an
    operand: 47 + 38 leaves 47 + 30 + 8, then 77 + 8. [] where that gives nothing to tell.
    """
    left = expression
    found = []
    if len(expression.operators) == 1:
        split = _by_places(expression)
        if split is None:
            return []
        left = split
        found.append(spelled(left))
    while len(left.operators) > 1:
        after = _reduced(left)
        if after is None:
            break
        left = after
        found.append(spelled(left))
    return found


def computed(expression: Expression) -> list[list[Expression]]:
    """For each text of `worked_out` the operation whose value it tells, where it tells one, and the text itself."""
    left, found = expression, []
    for text in worked_out(expression):
        after = parse_expression(text)
        assert after is not None, "what is spelled can be read"
        is_split = len(after.operators) >= len(left.operators)
        found.append([after] if is_split else [_next(left), after])
        left = after
    return found


def parts(expression: Expression) -> list[Expression]:
    """Its products, where it has other terms too; else all but its last operand. [] of a single operation."""
    if len(expression.operators) < 2:
        return []
    terms = list(_terms(expression))
    products = [term for term in terms if term.operators]
    if products and len(terms) > 1:
        return products
    return [Expression(expression.operands[:-1], expression.operators[:-1])]


def _terms(expression: Expression) -> Iterator[Expression]:
    start = 0
    for place, operator in enumerate((*expression.operators, "+")):
        if operator != "*":
            yield Expression(expression.operands[start : place + 1], expression.operators[start:place])
            start = place + 1


def _reduced(expression: Expression) -> Expression | None:
    """The expression with its first product, or else its first operation, replaced by the value."""
    operands, operators = expression.operands, expression.operators
    at = _place(expression)
    value = evaluate_expression(spelled(_next(expression)))
    if isinstance(value, SandboxFailure) or value < 0:
        return None
    return Expression((*operands[:at], str(value), *operands[at + 2 :]), (*operators[:at], *operators[at + 1 :]))


def _place(expression: Expression) -> int:
    """Of the first product's operator, or else of the first one."""
    return expression.operators.index("*") if "*" in expression.operators else 0


def _next(expression: Expression) -> Expression:
    """The operation that is worked out first."""
    at = _place(expression)
    return Expression(expression.operands[at : at + 2], expression.operators[at : at + 1])


def _by_places(expression: Expression) -> Expression | None:
    """The second operand as tens and ones: 24 * 35 is 24 * 30 + 24 * 5. Where it is round, the first one, unless it is
    what is subtracted from. None where neither has two digits that are not 0."""
    (first, second), (operator,) = expression.operands, expression.operators
    if len(_places(second)) < 2 and operator != "-":
        first, second = second, first
    places = _places(second)
    if len(places) < 2:
        return None
    if operator == "*":
        return parse_expression(" + ".join(f"{first} * {place}" for place in places))
    return parse_expression(f" {operator} ".join((first, *places)))


def _places(number: str) -> list[str]:
    """305 is 300 and 5."""
    return [digit + "0" * (len(number) - at - 1) for at, digit in enumerate(number) if digit != "0"]
