"""The problems kept for evaluation: chosen by a keyed hash of the canonical form, never admitted to training.

The curriculum sees only `contains`: neither the names nor the members of the sets reach the scheduler.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from curriculum.domains.protocol import Domain, Statement, problem_of
from store.records import Origin, Problem

SMALL_SET_SIZE = 200  # sets with fewer members give half of them, the others MAX_HELD_OUT
MAX_HELD_OUT = 500


class HeldOut:
    """`sets` maps each set's name to its held-out problems in the order of their hash, so any first n is a fair sample.

    Seeds and few-shot examples are never members. The origin of these problems is PROCEDURAL: nobody posed them.
    """

    def __init__(self, domain: Domain, key: str) -> None:
        """ValueError for an empty key or one of more than 64 bytes (blake2b's limit)."""
        if not 1 <= len(key.encode()) <= 64:
            raise ValueError("the held-out key must have 1 to 64 bytes")
        shown = {statement.canonical for statement in (*domain.seeds(), *domain.shown_examples())}
        sets: dict[str, tuple[Problem, ...]] = {}
        for name, members in domain.evaluation_sets().items():
            limit = len(members) // 2 if len(members) < SMALL_SET_SIZE else MAX_HELD_OUT
            eligible = [member for member in members if member.canonical not in shown]
            chosen = sorted(eligible, key=lambda member: _rank(member, key))[:limit]
            sets[name] = tuple(problem_of(member, domain.name, Origin.PROCEDURAL) for member in chosen)
        self.sets: Mapping[str, tuple[Problem, ...]] = MappingProxyType(sets)
        self._canonicals = frozenset(problem.canonical for problems in sets.values() for problem in problems)

    def contains(self, canonical: str) -> bool:
        return canonical in self._canonicals


def _rank(statement: Statement, key: str) -> tuple[bytes, str]:
    digest = hashlib.blake2b(statement.canonical.encode("utf-8", "surrogatepass"), key=key.encode(), digest_size=16)
    return digest.digest(), statement.canonical
