"""Draws one-line programs at random: a chain of operations on a number, a text or a list, with an input for it."""

import random
from collections.abc import Sequence
from typing import Literal, get_args

from curriculum.domains.python.values import Value, spelled

TypeName = Literal["int", "str", "list"]
TYPES: tuple[TypeName, ...] = get_args(TypeName)
_LETTERS = "abcdefghijklmnoprstuvw"

# type -> (operation, type of its value). E is what it is applied to, C a number, S a text of up to two letters.
_OPERATIONS: dict[TypeName, Sequence[tuple[str, TypeName]]] = {
    "int": (
        ("E + C", "int"),
        ("E - C", "int"),
        ("E * C", "int"),
        ("C - E", "int"),
        ("E // C", "int"),
        ("E % C", "int"),
    ),
    "str": (
        ("E + S", "str"),
        ("S + E", "str"),
        ("E[::-1]", "str"),
        ("E.upper()", "str"),
        ("E * 2", "str"),
        ("E[1:]", "str"),
        ("E[:2]", "str"),
        ("E[0]", "str"),
        ("E[-1]", "str"),
        ("len(E)", "int"),
    ),
    "list": (
        ("E + [C]", "list"),
        ("E[::-1]", "list"),
        ("sorted(E)", "list"),
        ("E[1:]", "list"),
        ("E[:2]", "list"),
        ("E[0]", "int"),
        ("E[-1]", "int"),
        ("len(E)", "int"),
        ("sum(E)", "int"),
        ("max(E)", "int"),
        ("min(E)", "int"),
        ("[i + C for i in E]", "list"),
        ("[i * C for i in E]", "list"),
    ),
}


def drawn_expression(rng: random.Random, type_name: TypeName, operations: int, digits: int) -> str:
    """An expression in `x`, which is of type `type_name`, of so many operations; numbers have up to `digits` digits."""
    expression, now = "x", type_name
    for _ in range(operations):
        template, after = rng.choice(_OPERATIONS[now])
        inner = expression if expression == "x" or expression[-1] in ")]" else f"({expression})"
        text = rng.choice(_LETTERS) + (rng.choice(_LETTERS) if rng.random() < 0.5 else "")
        filled = template.replace("C", str(number(rng, digits, least=2))).replace("S", spelled(text))
        expression, now = filled.replace("E", inner), after
    return expression


def drawn_input(rng: random.Random, type_name: TypeName, digits: int, length: int) -> Value:
    """A number of `digits` digits, or a text or list of 2 to `length` letters or numbers."""
    if type_name == "int":
        return number(rng, digits)
    size = rng.randint(2, length)
    if type_name == "str":
        return "".join(rng.choice(_LETTERS) for _ in range(size))
    return [number(rng, digits) for _ in range(size)]


def number(rng: random.Random, digits: int, least: int = 0) -> int:
    """Of exactly so many digits."""
    return rng.randint(least, 9) if digits == 1 else rng.randint(10 ** (digits - 1), 10**digits - 1)
