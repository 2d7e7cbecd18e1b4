"""The problems kept for evaluation, never admitted to training: test sets whole, of evaluation sets a keyed sample.

The curriculum calls `contains` and nothing else, so the scheduler never sees the names or the members of the sets.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Domain, Evaluated, Statement, problem_of
from curriculum.domains.seed_files import DomainError
from store.records import Origin, Problem

SMALL_SET_SIZE = 200  # of an evaluation set with fewer members half are held out, of others MAX_HELD_OUT
MAX_HELD_OUT = 500  # problems: the standard error of an accuracy is at most sqrt(1/4 / 500) = 0.022
_NAMED = 3  # problems that an error names


class HeldOut:
    """`sets` maps each set's name to its held-out problems in the order of their hash, so any first n is a fair sample.

    A domain's `test_sets` are held out whole. An evaluation set has every problem of a kind, so a hash holds out some
    of them, and the rest may be trained on; seeds and few-shot examples are never held out of these. The origin of
    held-out problems is PROCEDURAL: nobody posed them.
    """

    def __init__(self, domain: Domain, key: str) -> None:
        """ValueError for an empty key or one of more than 64 bytes (blake2b's limit). DomainError, which names the set,
        where a set would be empty, and where a problem of a test set is a seed or a shown example. The domain may read
        files of its own here for the first time: DomainError too for one that cannot be read, or a member that `parse`
        refused."""
        if not 1 <= len(key.encode()) <= 64:
            raise ValueError("the held-out key must have 1 to 64 bytes")
        try:
            evaluated = ability(domain, Evaluated)
            shown = {each.canonical for each in _stated(domain, "seeds", domain.seeds())}
            shown |= {each.canonical for each in _stated(domain, "shown_examples", evaluated.shown_examples())}
            chosen = [*_chosen(evaluated, shown, key)]
        except OSError as error:
            raise DomainError(f"domain {domain.name}: its problems cannot be read ({error})") from None
        sets: dict[str, tuple[Problem, ...]] = {}
        for name, members in chosen:
            if not members:
                raise DomainError(
                    f"domain {domain.name}: evaluation set {name} has nothing to hold out, because its problems are "
                    "too few, or are seeds or shown examples: give it others, or leave it out"
                )
            ordered = sorted(members, key=lambda member: _rank(member, key))
            sets[name] = tuple(problem_of(member, domain.name, Origin.PROCEDURAL) for member in ordered)
        self.sets: Mapping[str, tuple[Problem, ...]] = MappingProxyType(sets)
        self._canonicals = frozenset(problem.canonical for problems in sets.values() for problem in problems)

    def contains(self, canonical: str) -> bool:
        return canonical in self._canonicals


def _chosen(domain: Evaluated, shown: set[str], key: str) -> Iterator[tuple[str, Sequence[Statement]]]:
    """(set, its held-out members), the domain's own sets first."""
    given = domain.test_sets()
    for name, members in domain.evaluation_sets().items():
        if name in given:
            raise DomainError(f"domain {domain.name}: {name} is a test set and an evaluation set: give them two names")
        _stated(domain, f"evaluation set {name}", members)
        limit = len(members) // 2 if len(members) < SMALL_SET_SIZE else MAX_HELD_OUT
        eligible = [member for member in members if member.canonical not in shown]
        yield name, sorted(eligible, key=lambda member: _rank(member, key))[:limit]
    for name, members in given.items():
        taken = [member.text for member in _stated(domain, f"test set {name}", members) if member.canonical in shown]
        if taken:
            more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
            raise DomainError(
                f"domain {domain.name}: of test set {name}, {', '.join(map(repr, taken[:_NAMED]))}{more} are seeds or "
                "shown examples, so the model would be tested on what it practised: remove them from one of the two"
            )
        yield name, members


def _stated(domain: Domain, what: str, members: Sequence[Statement]) -> Sequence[Statement]:
    """`members`, once it is certain that all are statements: `parse` returns a Fate for a text that it refuses."""
    for place, member in enumerate(members):
        if not isinstance(member, Statement):
            raise DomainError(
                f"domain {domain.name}: {what}, member {place} (the first is 0) is {member!r}, not a Statement: where "
                "`parse` made it, it refused the text"
            )
    return members


def _rank(statement: Statement, key: str) -> tuple[bytes, str]:
    digest = hashlib.blake2b(statement.canonical.encode("utf-8", "surrogatepass"), key=key.encode(), digest_size=16)
    return digest.digest(), statement.canonical
