"""A target set of the user's choice, and how near a proposal is to what of it is not solved yet.

    aim = max over unsolved targets t of closeness(proposal, t) min(1, |t| / |proposal|)

with lengths in tokens of the canonical forms. So a proposal that says more than what it aims at is worth less: a
proposer that is paid for difficulty drifts to problems that are only longer. After SGS ("Scaling Self-Play with
Self-Guidance", arXiv 2604.20209), where a model says both; here the domain's `closeness` does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum.domains.abilities import ability
from curriculum.domains.likeness import tokens_of
from curriculum.domains.protocol import ComparesProblems, Domain, Evaluated, Posable, Statement, by_hash, problem_of
from curriculum.domains.seed_files import DomainError, read_seeds
from curriculum.holdout import HeldOut
from store.records import Origin, Problem

SOLVED = 0.9  # foretold pass rate from which on a target is solved: as a problem that is mastered
MOST_TARGETS = 256  # that proposals are compared with: it bounds a step's work
_KEY = "challenger.aim"


@dataclass(frozen=True, slots=True)
class Targets:
    """At least one problem, none of which is held out."""

    problems: tuple[Problem, ...]
    domain: ComparesProblems

    def unsolved(self, rate: Callable[[Problem], float]) -> tuple[Problem, ...]:
        """Those with a foretold first-try pass rate below SOLVED."""
        return tuple(target for target in self.problems if rate(target) < SOLVED)

    def aim(self, problem: Problem, unsolved: Sequence[Problem]) -> float:
        """How near a problem is to the nearest of some targets, in [0, 1]; 1 where there are none: nothing pulls."""
        return max((self._pull(problem, target) for target in unsolved), default=1.0)

    def _pull(self, problem: Problem, target: Problem) -> float:
        length, wanted = len(tokens_of(problem.canonical)), len(tokens_of(target.canonical))
        return self.domain.closeness(problem, target) * min(1.0, wanted / max(1, length))


def targets_of(aim: str, domain: Domain, held_out: HeldOut) -> Targets:
    """What `aim` names: one of the domain's evaluation sets, of which the members that are not held out are taken, or
    a JSONL file, {"text": "34 + 15"} a line. Of more than MOST_TARGETS a hash chooses.

    DomainError, one line, for a file that cannot be read, a line that is no problem of the domain, and where nothing is
    left. Held-out problems are never aimed at, or a challenger would be paid for coming near the test.
    """
    sets = ability(domain, Evaluated)
    named = sets.evaluation_sets()
    if aim in sets.test_sets():
        raise DomainError(f"{_KEY}={aim}: this test set is held out whole, so nothing may aim at it: name a file")
    if aim not in named and not Path(aim).exists():
        known = f"one of {', '.join(named)}, or " if named else ""
        raise DomainError(f"{_KEY}={aim}: no such file or set: give {known}the path of a JSONL file")
    found = named[aim] if aim in named else _read(Path(aim), domain)
    statements = by_hash(each for each in found if not held_out.contains(each.canonical))[:MOST_TARGETS]
    if not statements:
        raise DomainError(f"{_KEY}={aim}: all of its problems are held out for evaluation: aim at others")
    targets = tuple(problem_of(each, domain.name, Origin.PROCEDURAL) for each in statements)
    return Targets(targets, ability(domain, ComparesProblems))


def _read(path: Path, domain: Domain) -> Sequence[Statement]:
    return read_seeds(path, ability(domain, Posable, _KEY).parse, key=_KEY)
