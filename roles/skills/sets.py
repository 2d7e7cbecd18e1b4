"""The sets of skills that challenger and solver keep, and the cases that each learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from store.records import Attempt, Outcome, Problem, Side, SkillPick, SkillRound, SkillSet

COMPARED = 3  # of the solver's older sets, that a new one is compared with
SOLVED = 0.5  # a problem of whose first tries more than this share are right is solved, any other is failed


@dataclass(frozen=True, slots=True)
class SkillSets:
    """The set that each side shows. `past`: the solver's last sets before it and the empty one, oldest first."""

    challenger: SkillSet = field(default_factory=lambda: SkillSet(Side.CHALLENGER))
    solver: SkillSet = field(default_factory=lambda: SkillSet(Side.SOLVER))
    past: tuple[SkillSet, ...] = ()

    def of(self, side: Side) -> SkillSet:
        """One side's."""
        return self.challenger if side is Side.CHALLENGER else self.solver

    def after(self, rounds: Iterable[SkillRound]) -> SkillSets:
        """What they are after further rounds, oldest first."""
        newest = {Side.CHALLENGER: self.challenger, Side.SOLVER: self.solver}
        past = self.past
        for each in rounds:
            if each.written is not None:
                if each.side is Side.SOLVER:
                    past = _kept((*past, newest[Side.SOLVER]))
                newest[each.side] = each.written
        return SkillSets(newest[Side.CHALLENGER], newest[Side.SOLVER], past)

    def picked(self, picks: Iterable[SkillPick]) -> SkillSets:
        """What they are after the probes' picks, oldest first: an older set of the solver's is shown again under a new
        version. Picks are of sets that `past` or `solver` has."""
        found = self
        for each in picks:
            if each.used_as is not None and each.used_as != found.solver.version:
                known = {kept.version: kept for kept in (*found.past, found.solver)}
                again = replace(known[each.version], version=each.used_as)
                found = replace(found, solver=again, past=_kept((*found.past, found.solver)))
        return found


def folded(rounds: Iterable[tuple[int, SkillRound]], picks: Iterable[tuple[int, SkillPick]]) -> SkillSets:
    """The sets after all rounds and picks of a run, each with its step; within a step, rounds come first."""
    by_step: dict[int, tuple[list[SkillRound], list[SkillPick]]] = {}
    for step, made in rounds:
        by_step.setdefault(step, ([], []))[0].append(made)
    for step, pick in picks:
        by_step.setdefault(step, ([], []))[1].append(pick)
    found = SkillSets()
    for _, (made_then, picked_then) in sorted(by_step.items()):
        found = found.after(made_then).picked(picked_then)
    return found


def _kept(past: tuple[SkillSet, ...]) -> tuple[SkillSet, ...]:
    """The empty set and the last ones that differ from each other."""
    differing = [each for place, each in enumerate(past) if all(each.skills != b.skills for b in past[place + 1 :])]
    empty = next((each for each in reversed(past) if not each.skills), None)
    others = [each for each in differing if each.skills][-COMPARED:]
    return (*(() if empty is None else (empty,)), *others)


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
