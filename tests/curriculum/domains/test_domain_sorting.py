"""Digits in order: what is read, judged, observed and drawn."""

import pytest

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sorting import SortingDomain
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = SortingDomain(min_length=4, max_length=6)


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


@pytest.mark.parametrize("options", [{}, {"min_length": 6, "max_length": 6}])
def test_validates(options: dict[str, int]) -> None:
    assert [check for check in validate_domain(load_domain("sorting", options)) if not check.passed] == []


def test_a_statement_is_its_digits_in_order() -> None:
    problem = _problem("730942")
    assert (problem.answer, problem.family, problem.level) == ("023479", "6n", 6)
    assert DOMAIN.question(problem) == "730942 ="


@pytest.mark.parametrize(("text", "fate"), [("123", Fate.TOO_LARGE), ("12 34", Fate.UNPARSED), ("", Fate.UNPARSED)])
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "outcome", "seen"),
    [
        (" 2347", Outcome.CORRECT, "missing 0, extra 0, falls 0"),
        (" 2437", Outcome.INCORRECT, "missing 0, extra 0, falls 1"),
        (" 2337", Outcome.INCORRECT, "missing 1, extra 1, falls 0"),
        (" 234", Outcome.INCORRECT, "missing 1, extra 0, falls 0"),
        (" none", Outcome.UNPARSED, "no digits"),
    ],
)
def test_judge_and_observation(text: str, outcome: Outcome, seen: str) -> None:
    assert DOMAIN.judge(_problem("7342"), text)[0] is outcome
    assert DOMAIN.observation(_problem("7342"), text) == seen


def test_evaluation_sets_are_the_same_each_time() -> None:
    assert DOMAIN.evaluation_sets() == SortingDomain(min_length=4, max_length=6).evaluation_sets()
    assert {name: len(members) for name, members in DOMAIN.evaluation_sets().items()} == {
        "sort4": 2000, "sort5": 2000, "sort6": 2000,
    }  # fmt: skip


@pytest.mark.parametrize("options", [{"min_length": 7, "max_length": 6}, {"max_length": 99}, {"min_length": "4"}])
def test_impossible_options(options: dict[str, int]) -> None:
    with pytest.raises(DomainError):
        SortingDomain(**options)
