"""Products of two primes: what is read, judged, observed and drawn."""

import pytest

from curriculum.domains.factors import FactorsDomain
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = FactorsDomain(max_prime=31)


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


@pytest.mark.parametrize("options", [{}, {"min_prime": 11, "max_prime": 97}])
def test_validates(options: dict[str, int]) -> None:
    assert [check for check in validate_domain(load_domain("factors", options)) if not check.passed] == []


def test_a_statement_is_its_two_primes() -> None:
    problem = _problem("221")
    assert (problem.answer, problem.family, problem.level) == ("13*17", "3d", 3)
    assert DOMAIN.question(problem) == "221 ="


@pytest.mark.parametrize(
    ("text", "fate"),
    [("8", Fate.INVALID), ("37", Fate.INVALID), ("962", Fate.TOO_LARGE), ("0221", Fate.UNPARSED), ("", Fate.UNPARSED)],
)
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "outcome", "seen"),
    [
        (" 13*17", Outcome.CORRECT, "13 * 17 = 221"),
        (" 13 * 17", Outcome.CORRECT, "13 * 17 = 221"),
        (" 17*13", Outcome.INCORRECT, "17 * 13 = 221"),
        (" 13*19", Outcome.INCORRECT, "13 * 19 = 247"),
        (" 221", Outcome.UNPARSED, "no product"),
        ("", Outcome.UNPARSED, "no product"),
    ],
)
def test_judge_and_observation(text: str, outcome: Outcome, seen: str) -> None:
    assert DOMAIN.judge(_problem("221"), text)[0] is outcome
    assert DOMAIN.observation(_problem("221"), text) == seen


def test_evaluation_sets_are_the_same_each_time() -> None:
    assert DOMAIN.evaluation_sets() == FactorsDomain(max_prime=31).evaluation_sets()
    assert set(DOMAIN.evaluation_sets()) == {"factor2", "factor3"}  # 4, 6 and 9 are too few


@pytest.mark.parametrize("options", [{"min_prime": 8, "max_prime": 10}, {"max_prime": 10**6}, {"min_prime": True}])
def test_impossible_options(options: dict[str, int]) -> None:
    with pytest.raises(DomainError):
        FactorsDomain(**options)
