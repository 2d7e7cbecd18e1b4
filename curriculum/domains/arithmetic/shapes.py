"""Draws a random arithmetic expression of a wanted level: uniform over shapes, then over operands."""

import random
from functools import lru_cache
from itertools import product

from curriculum.domains.arithmetic.syntax import Expression, level_of, shape_of

Shape = tuple[tuple[int, ...], tuple[str, ...]]  # digits of each operand, operators between them


def known_shapes(max_operands: int, max_digits: int) -> list[str]:
    """The names of the shapes under these limits, in alphabetical order."""
    return sorted({name for alike in _shapes(max_operands, max_digits, ()).values() for name in alike})


def known_levels(max_operands: int, max_digits: int, only: tuple[str, ...] = ()) -> list[int]:
    """The levels that have a shape under these limits, rising. `only`: of these shapes; empty: of any."""
    return sorted(_shapes(max_operands, max_digits, only))


def drawn_expression(
    rng: random.Random, level: int, max_operands: int, max_digits: int, only: tuple[str, ...] = ()
) -> Expression:
    """An expression of `level` >= 1, or of the highest level below it that has one. Its value may be out of bounds.

    `level` is not below all of them. `only`: as in `known_levels`.
    """
    shapes_by_level = _shapes(max_operands, max_digits, only)
    alike = shapes_by_level[max(known for known in shapes_by_level if known <= level)]
    digits, operators = rng.choice(alike[rng.choice(sorted(alike))])
    return Expression(tuple(_operand(rng, width) for width in digits), operators)


def _operand(rng: random.Random, width: int) -> str:
    return str(rng.randrange(10) if width == 1 else rng.randrange(10 ** (width - 1), 10**width))


@lru_cache(maxsize=4)
def _shapes(max_operands: int, max_digits: int, only: tuple[str, ...]) -> dict[int, dict[str, list[Shape]]]:
    """Every shape under the limits, and among `only` unless that is empty, by level and by its name."""
    found: dict[int, dict[str, list[Shape]]] = {}
    widths = range(1, min(max_digits, 3) + 1)  # the control needs no more, and the number of shapes stays small
    for num_operands in range(2, min(max_operands, 4) + 1):
        for digits in product(widths, repeat=num_operands):
            for operators in product("+-*", repeat=num_operands - 1):
                example = Expression(tuple("1" * width for width in digits), operators)
                name = shape_of(example)
                if not only or name in only:
                    found.setdefault(level_of(example), {}).setdefault(name, []).append((digits, operators))
    return found
