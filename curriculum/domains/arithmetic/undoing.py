"""An answer checked by undoing what is asked: of 12 + 3 * 4 = 24, 24 - 12 is to be 12.

Nothing of the judge takes part: not the sandbox, not the stored answer, not the pattern that reads answers.
"""

from math import prod

from curriculum.domains.arithmetic.syntax import Expression


def undone(expression: Expression, said: str) -> bool:
    """Whether `said` is a number, spelled as Python spells an integer, of which the first product of the expression is
    left once its other terms are taken back, the last one first."""
    try:
        left = int(said)
    except ValueError:
        return False
    if str(left) != said:
        return False
    terms: list[tuple[str, list[int]]] = [("+", [int(expression.operands[0])])]
    for operator, operand in zip(expression.operators, expression.operands[1:], strict=True):
        if operator == "*":
            terms[-1][1].append(int(operand))
        else:
            terms.append((operator, [int(operand)]))
    for sign, factors in reversed(terms[1:]):
        left += -prod(factors) if sign == "+" else prod(factors)
    return left == prod(terms[0][1])
