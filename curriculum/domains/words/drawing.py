"""Draws word problems: a template, numbers of the wanted widths, names and things."""

import random
from collections.abc import Callable, Mapping, Sequence

from curriculum.domains.protocol import Statement
from curriculum.domains.words.templates import (
    KEPT_BACK_NAMES,
    KEPT_BACK_THINGS,
    NAMES,
    TEMPLATES,
    THINGS,
    Template,
)
from store.records import Fate

LEVELS = range(1, 6)
SET_SIZE = 200  # members of an evaluation set: the smallest size of which all are held out
_DRAWS = 1000  # of numbers, until a problem is valid: of one-digit quotients few are
_SLOTS = "abc"
_LEAST = 2  # "buys 1 more" would want the singular

Parse = Callable[[str], Statement | Fate]


def drawn(rng: random.Random, level: int, parse: Parse) -> Statement:
    """A problem of this level, 1 <= level <= 5: operations, and digits beyond one of every number."""
    known = [
        each for each in TEMPLATES
        if not each.is_kept_back and 0 <= level - each.num_operations <= each.num_operations + 1
    ]  # fmt: skip
    template = rng.choice(known)
    slots = _SLOTS[: template.num_operations + 1]
    for _ in range(_DRAWS):
        long = set(rng.sample(slots, level - template.num_operations))
        numbers = {slot: rng.randint(10, 99) if slot in long else rng.randint(_LEAST, 9) for slot in slots}
        found = parse(told(template, numbers, rng, NAMES, THINGS))
        if isinstance(found, Statement):
            return found
    return drawn(rng, level, parse)  # a template may have nothing here, as one-digit quotients hardly do


def evaluation_sets(parse: Parse) -> Mapping[str, Sequence[Statement]]:
    """words1: one operation on numbers from 2 to 20; words2: two, on numbers from 2 to 12. Of every template alike,
    with names and things that are of no seed among them."""
    return {"words1": _members(1, 20, parse), "words2": _members(2, 12, parse)}


def told(
    template: Template, numbers: Mapping[str, int], rng: random.Random, names: Sequence[str], things: Sequence[str]
) -> str:
    """The line that states the problem."""
    name, other = rng.sample(names, 2)
    text = template.text.format(**numbers, name=name, other=other, things=rng.choice(things))
    return f"{text} | {template.program.format(**numbers)}"


def _members(num_operations: int, largest: int, parse: Parse) -> Sequence[Statement]:
    rng = random.Random(f"words/{num_operations}/{largest}")
    templates = [each for each in TEMPLATES if each.num_operations == num_operations]
    slots = _SLOTS[: num_operations + 1]
    found: dict[str, Statement] = {}
    while len(found) < SET_SIZE:
        template = rng.choice(templates)
        numbers = {slot: rng.randint(_LEAST, largest) for slot in slots}
        member = parse(told(template, numbers, rng, (*NAMES, *KEPT_BACK_NAMES), (*THINGS, *KEPT_BACK_THINGS)))
        if isinstance(member, Statement):
            found.setdefault(member.canonical, member)
    return list(found.values())
