"""Sums of numbers of equal length: what is read, judged, observed and drawn."""

import pytest

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sums import SumsDomain
from curriculum.holdout import HeldOut
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = SumsDomain(max_digits=4)


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


def test_validates() -> None:
    assert [check for check in validate_domain(load_domain("sums")) if not check.passed] == []


def test_a_statement_is_its_sum() -> None:
    problem = _problem("347 + 586")
    assert (problem.answer, problem.family, problem.level) == ("933", "3d", 3)
    assert DOMAIN.question(problem) == "347 + 586 ="
    assert problem.problem_id == _problem("586 + 347").problem_id


@pytest.mark.parametrize(
    ("text", "fate"),
    [("3 + 14", Fate.INVALID), ("12345 + 54321", Fate.TOO_LARGE), ("03 + 14", Fate.UNPARSED), ("3 - 1", Fate.UNPARSED)],
)
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (" 933", Outcome.CORRECT),
        (" 923", Outcome.INCORRECT),
        (" 0933", Outcome.UNPARSED),
        ("933 or so", Outcome.UNPARSED),
        ("", Outcome.UNPARSED),
    ],
)
def test_judge(text: str, outcome: Outcome) -> None:
    assert DOMAIN.judge(_problem("347 + 586"), text)[0] is outcome


def test_observations_tell_answers_apart_and_never_say_the_sum() -> None:
    problem = _problem("347 + 586")
    seen = {text: DOMAIN.observation(problem, text) for text in (" 933", " 923", " nothing")}
    assert len(set(seen.values())) == 3
    assert not any("933" in line or "\n" in line for line in seen.values())


def test_evaluation_sets_are_the_same_each_time_and_held_out_problems_are_known() -> None:
    assert DOMAIN.evaluation_sets() == SumsDomain(max_digits=4).evaluation_sets()
    held_out = HeldOut(DOMAIN, "key")
    assert len(held_out.sets["add3"]) == 500
    assert held_out.contains(held_out.sets["add3"][0].canonical)


def test_impossible_options() -> None:
    with pytest.raises(DomainError):
        SumsDomain(min_digits=4, max_digits=3)
