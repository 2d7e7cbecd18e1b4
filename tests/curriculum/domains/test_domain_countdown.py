"""Targets to be reached in steps: what is read, judged step by step, solved and drawn."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.domains.countdown import CountdownDomain, Step, left_after, moves, read_steps, solution
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = CountdownDomain()


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


@pytest.mark.parametrize("options", [{}, {"max_numbers": 3, "max_number": 9, "max_target": 50}])
def test_validates(options: dict[str, int]) -> None:
    assert [check for check in validate_domain(load_domain("countdown", options)) if not check.passed] == []


def test_a_statement_is_its_numbers_in_order_and_the_target() -> None:
    problem = _problem("8 3 5:16")
    assert (problem.text, problem.canonical, problem.family, problem.level) == ("3 5 8: 16", "3 5 8: 16", "3n", 3)
    assert DOMAIN.question(problem) == "3 5 8: 16 ="
    assert problem.answer == "3+5=8,8+8=16"


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("3 5 8", Fate.UNPARSED),
        ("3 5 8: 0", Fate.UNPARSED),
        ("3, 5, 8: 16", Fate.UNPARSED),
        ("", Fate.UNPARSED),
        ("3 5: 8", Fate.TOO_LARGE),
        ("1 2 3 4 5: 15", Fate.TOO_LARGE),
        ("3 5 11: 19", Fate.TOO_LARGE),
        ("9 9 9: 729", Fate.TOO_LARGE),
        ("1 1 1: 50", Fate.INVALID),
    ],
)
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "outcome", "seen"),
    [
        (" 3+5=8,8+8=16", Outcome.CORRECT, "left 16"),
        (" 8 + 3 = 11, 5 + 11 = 16", Outcome.CORRECT, "left 16"),  # another way, other spelling
        (" 3+5=8", Outcome.INCORRECT, "left 8 8"),  # true so far, numbers left over
        (" 3*5=15,15-8=7", Outcome.INCORRECT, "left 7"),
        (" 3+5=8,8*8=16", Outcome.INCORRECT, "step 2 fails, left 8 8"),
        (" 8+8=16", Outcome.INCORRECT, "step 1 fails, left 3 5 8"),  # there is one 8 only
        (" 16", Outcome.UNPARSED, "no steps"),
        (" 3+5=8,", Outcome.UNPARSED, "no steps"),
        (" 5-5=0", Outcome.UNPARSED, "no steps"),
        ("", Outcome.UNPARSED, "no steps"),
        (" __import__('os')", Outcome.UNPARSED, "no steps"),
    ],
)
def test_judge_and_observation(text: str, outcome: Outcome, seen: str) -> None:
    assert DOMAIN.judge(_problem("3 5 8: 16"), text)[0] is outcome
    assert DOMAIN.observation(_problem("3 5 8: 16"), text) == seen


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("3+5=8,", "8 8"),
        (" 3+5=8,", "8 8"),
        (" 5 + 3 = 8", "8 8"),
        ("3+5=8,8+8=16,", "16"),
        ("3*5=15,", "8 15"),  # rising, however it was said
        ("3+5=9,", None),  # untrue
        ("8+8=16,", None),  # there is one 8 only
        ("3+5=8,3+8=11,", None),  # the 3 is gone
        ("3+5=8,8+", None),
        ("3+5=8,,", None),
        ("so 3+5=8,", None),
        ("", None),
    ],
)
def test_the_state_is_what_true_steps_leave(text: str, left: str | None) -> None:
    assert DOMAIN.state(_problem("3 5 8: 16"), text) == left


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_steps_in_any_order_that_leave_the_same_numbers_have_the_same_state(seed: int, taken: int) -> None:
    rng = random.Random(seed)
    problem = _problem("2 3 5 8: 18")
    numbers, said = (2, 3, 5, 8), list[Step]()
    for _ in range(taken):
        step, numbers = rng.choice(list(moves(numbers)))
        said.append(step)
    state = DOMAIN.state(problem, ",".join(map(str, said)) + ",")
    assert state == " ".join(map(str, numbers))
    other = rng.sample(said, len(said))
    if left_after((2, 3, 5, 8), other) is not None:
        assert DOMAIN.state(problem, ",".join(map(str, other))) == state


def test_two_orders_of_the_same_steps_have_the_same_state_and_other_steps_may_have() -> None:
    problem = _problem("2 3 5 8: 18")
    states = {DOMAIN.state(problem, text) for text in ("2+3=5,8-5=3,", "8-5=3,2+3=5,", "8-3=5,5-2=3,")}
    assert states == {"3 5"}


def test_moves_by_hand() -> None:
    assert [(str(step), left) for step, left in moves((2, 2, 5))] == [
        ("2+2=4", (4, 5)), ("2*2=4", (4, 5)), ("2+5=7", (2, 7)), ("2*5=10", (2, 10)), ("5-2=3", (2, 3)),
    ]  # fmt: skip
    assert left_after((2, 5), [Step(2, "+", 2, 4)]) is None  # one 2 only


def test_what_cannot_be_reached_has_no_solution() -> None:
    assert solution((1, 1, 1), 50) is None
    assert solution((7,), 7) == ()


@given(st.lists(st.integers(1, 10), min_size=3, max_size=4), st.integers(1, 200))
def test_a_solution_is_judged_right(numbers: list[int], target: int) -> None:
    domain = CountdownDomain(max_target=200)
    text = f"{' '.join(map(str, numbers))}: {target}"
    found = domain.parse(text)
    if isinstance(found, Statement):
        problem = problem_of(found, domain.name, Origin.SEED)
        assert domain.judge(problem, found.answer) == (Outcome.CORRECT, found.answer)
        assert read_steps(found.answer) is not None
    else:
        assert found is Fate.INVALID and solution(tuple(sorted(numbers)), target) is None


def test_evaluation_sets_are_the_same_each_time() -> None:
    sets = DOMAIN.evaluation_sets()
    assert sets == CountdownDomain().evaluation_sets() and set(sets) == {"countdown3", "countdown4"}
    assert all(len({each.canonical for each in members}) == 1000 for members in sets.values())


@pytest.mark.parametrize(
    "options", [{"min_numbers": 2}, {"max_numbers": 5}, {"max_number": 5}, {"max_target": 20}, {"max_number": True}]
)
def test_impossible_options(options: dict[str, int]) -> None:
    with pytest.raises(DomainError):
        CountdownDomain(**options)
