"""The sets of skills that challenger and solver keep, and the cases that each learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from store.records import Attempt, Outcome, Problem, Side, SkillRound, SkillSet

SOLVED = 0.5  # a problem of whose first tries more than this share are right is solved, any other is failed


@dataclass(frozen=True, slots=True)
class SkillSets:
    """The newest set of each side."""

    challenger: SkillSet = field(default_factory=lambda: SkillSet(Side.CHALLENGER))
    solver: SkillSet = field(default_factory=lambda: SkillSet(Side.SOLVER))

    def of(self, side: Side) -> SkillSet:
        """One side's."""
        return self.challenger if side is Side.CHALLENGER else self.solver

    def after(self, rounds: Iterable[SkillRound]) -> SkillSets:
        """What they are after further rounds, oldest first."""
        newest = {Side.CHALLENGER: self.challenger, Side.SOLVER: self.solver}
        newest |= {each.side: each.written for each in rounds if each.written is not None}
        return SkillSets(newest[Side.CHALLENGER], newest[Side.SOLVER])


@dataclass(frozen=True, slots=True)
class Case:
    """A problem that a side learns from. `rate`: the share of its judged first tries that were right, in [0, 1].
    `texts`: what its wrong first tries said, each once; empty for the challenger, which learns from what was solved."""

    problem: Problem
    rate: float
    texts: tuple[str, ...] = ()


def cases_of(side: Side, tries: Iterable[tuple[Problem, Sequence[Attempt]]]) -> list[Case]:
    """Failed problems for the solver, those that fared worst first; solved ones for the challenger, those that fared
    best first. No problem is a case of both. `tries`: what steps tried, oldest first; the newest of a problem counts.
    """
    newest = {problem.problem_id: (problem, attempts) for problem, attempts in tries}
    cases = [case for problem, attempts in newest.values() if (case := _case(problem, attempts)) is not None]
    if side is Side.SOLVER:
        return sorted((case for case in cases if case.rate <= SOLVED), key=_by_rate)
    return sorted((Case(each.problem, each.rate) for each in cases if each.rate > SOLVED), key=_by_rate, reverse=True)


def _case(problem: Problem, attempts: Sequence[Attempt]) -> Case | None:
    firsts = [each.turns[0] for each in attempts if each.turns[0].outcome is not Outcome.UNJUDGED]
    if not firsts:
        return None
    wrong = [turn.text for turn in firsts if turn.outcome is not Outcome.CORRECT]
    return Case(problem, 1 - len(wrong) / len(firsts), tuple(dict.fromkeys(wrong)))


def _by_rate(case: Case) -> tuple[float, str]:
    return case.rate, case.problem.problem_id
