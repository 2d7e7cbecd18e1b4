"""Candidates for admission, and trackers that know some families."""

import random
from collections.abc import Iterable
from dataclasses import replace

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.selection.admission import Candidate, ranked
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Origin, PassRate, Problem, StepHistory

DOMAIN = ArithmeticDomain()


def problem(text: str, parent_id: str | None = None) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, "arithmetic", Origin.CHALLENGER if parent_id else Origin.SEED, parent_id)


SETTINGS = CurriculumSettings(forgetting=1.0)


def tracker_with(*families: tuple[str, int, int]) -> Tracker:
    """Seeds with these texts, each measured in one step: (text, how many problems, how many of eight were right)."""
    seeds = {
        replace(problem(text), problem_id=problem(text).problem_id + "+" * number): right
        for text, count, right in families
        for number in range(count)
    }
    tracker = Tracker(SETTINGS)
    tracker.observe(StepHistory(0, 0, tuple(seeds), (), ()))
    measured = [PassRate(each.problem_id, 0, 8, right) for each, right in seeds.items()]
    tracker.observe(StepHistory(1, 1, (), (), tuple(measured)))
    return tracker


def admit(wanted: list[Candidate], num_wanted: int, tracker: Tracker, rng: random.Random) -> list[Candidate]:
    """What is taken where there are `num_wanted` places for new problems."""
    ranking = ranked(wanted, num_wanted, tracker, SETTINGS, rng)
    return [*ranking.promising, *ranking.others][:num_wanted]


def candidates_of(*texts: str) -> list[Candidate]:
    return [Candidate(0, index, problem(text, "parent")) for index, text in enumerate(texts)]


def texts_of(candidates: Iterable[Candidate]) -> list[str]:
    return [candidate.problem.text for candidate in candidates]
