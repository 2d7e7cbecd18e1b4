"""What domains for models trained from scratch share: no few-shot examples, and the problem itself as question."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from curriculum.domains.protocol import Statement
from store.records import Fate, Problem


class BareDomain(ABC):
    """What sums, sorting, factors, countdown and chains share of a domain (curriculum/domains/protocol.py).

    A subclass gives `parse`, `levels`, `_drawn`, `escalation_examples`, and the rest of the protocol.
    """

    solver_examples: Sequence[tuple[str, str]] = ()
    escalation_examples: Sequence[tuple[str, str]]
    step_ends: Sequence[str] = ()
    levels: Sequence[int]  # sizes of a problem: each is a level and a family

    @abstractmethod
    def parse(self, text: str) -> Statement | Fate:
        """As in the protocol."""

    @abstractmethod
    def _drawn(self, rng: random.Random, level: int) -> Statement:
        """A random problem of this level, which is one of `levels`."""

    def draw(self, rng: random.Random, level: int) -> Statement:
        """A random problem of this level, always of this one."""
        if level not in self.levels:
            known = ", ".join(map(str, self.levels))
            raise ValueError(f"there is no problem of level {level}: the levels are {known}")
        return self._drawn(rng, level)

    def question(self, problem: Problem) -> str:
        """The problem and an equals sign: "347 + 586 =" """
        return f"{problem.text} ="

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether it is the parent, or its canonical form is: "4 + 3" of "3 + 4"."""
        return parent.canonical == child.canonical

    def shown_examples(self) -> Sequence[Statement]:
        """The texts of the escalation examples, where they are problems of this domain."""
        found = [self.parse(text) for pair in self.escalation_examples for text in pair]
        return [each for each in found if isinstance(each, Statement)]


def distinct(draw: Callable[[random.Random], Statement], size: int, key: str) -> Sequence[Statement]:
    """`size` different problems, in the order in which a generator keyed by `key` draws them. They must exist."""
    rng = random.Random(key)
    found: dict[str, Statement] = {}
    while len(found) < size:
        each = draw(rng)
        found.setdefault(each.canonical, each)
    return list(found.values())
