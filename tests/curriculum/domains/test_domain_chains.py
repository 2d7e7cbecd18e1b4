"""Sums and products modulo a number in steps: what is read, judged by its end, executed step by step and drawn."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.domains.abilities import able
from curriculum.domains.chains import Chain, ChainsDomain, Operation, read_values
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import KnowsGoodSteps, Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = ChainsDomain()  # modulo 97


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


PROBLEM = _problem("45*7+5*3*8")  # 315 = 3 * 97 + 24, 29, 87, 696 = 7 * 97 + 17


@pytest.mark.parametrize(
    "options",
    [{}, {"min_steps": 2, "max_steps": 8, "modulus": 11, "max_operand": 3}, {"modulus": 997, "max_operand": 996}],
)
def test_validates(options: dict[str, int]) -> None:
    assert [check for check in validate_domain(load_domain("chains", options)) if not check.passed] == []


def test_a_statement_is_its_text_without_blanks_and_its_values() -> None:
    problem = _problem(" 45*7 + 5* 3 *8\n")
    assert (problem.text, problem.canonical, problem.family, problem.level) == ("45*7+5*3*8", "45*7+5*3*8", "4s", 4)
    assert problem.answer == "24,29,87,17"
    assert DOMAIN.question(problem) == "45*7+5*3*8 ="


def test_there_is_no_precedence() -> None:
    assert _problem("2+3*4").answer == "5,20"


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("45", Fate.UNPARSED),
        ("45*7-5", Fate.UNPARSED),
        ("45**7", Fate.UNPARSED),
        ("0*7+5", Fate.UNPARSED),
        ("45*07+5", Fate.UNPARSED),
        ("45*7+5 =", Fate.UNPARSED),
        ("", Fate.UNPARSED),
        ("45*7", Fate.TOO_LARGE),  # one step
        ("45*7+5*3*8+2", Fate.TOO_LARGE),
        ("97*7+5", Fate.TOO_LARGE),
        ("45*7+10", Fate.TOO_LARGE),
        ("45*1+5", Fate.INVALID),
    ],
)
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "outcome", "answer", "seen"),
    [
        (" 24,29,87,17", Outcome.CORRECT, "17", "left 17"),
        (" 24, 29 , 87, 17", Outcome.CORRECT, "17", "left 17"),
        (" 25,30,90,17", Outcome.CORRECT, "17", "step 1 fails, left 45*7+5*3*8"),  # the end alone is looked at
        (" 24,30,90,41", Outcome.INCORRECT, "41", "step 2 fails, left 24+5*3*8"),
        (" 24,29,87,114", Outcome.INCORRECT, "114", "step 4 fails, left 87*8"),  # not reduced
        (" 24,29,87", Outcome.INCORRECT, "87", "left 87*8"),
        (" 17", Outcome.INCORRECT, "17", "step 1 fails, left 45*7+5*3*8"),  # the result without its steps
        (" 24,29,87,17,17", Outcome.INCORRECT, "17", "step 5 fails, left 17"),
        (" 24,29,87,17,", Outcome.UNPARSED, None, "no values"),
        (" 24,29,87,017", Outcome.UNPARSED, None, "no values"),
        (" 24,29,87,-80", Outcome.UNPARSED, None, "no values"),
        (" 24  29 87 17", Outcome.UNPARSED, None, "no values"),
        (" 24,29,87,17 it is", Outcome.UNPARSED, None, "no values"),
        ("", Outcome.UNPARSED, None, "no values"),
        (" __import__('os')", Outcome.UNPARSED, None, "no values"),
        (" \u0662\u0664,29,87,17", Outcome.UNPARSED, None, "no values"),  # digits of another script
    ],
)
def test_judge_and_observation(text: str, outcome: Outcome, answer: str | None, seen: str) -> None:
    assert DOMAIN.judge(PROBLEM, text) == (outcome, answer)
    assert DOMAIN.observation(PROBLEM, text) == seen


@pytest.mark.parametrize(
    ("text", "left", "fails"),
    [
        (" 24,", "24+5*3*8", False),
        ("24,29,", "29*3*8", False),
        ("24 , 29", "29*3*8", False),
        ("24,29,87,17,", "17", False),
        ("25,", "25+5*3*8", True),
        ("25,30,", "30*3*8", True),  # the second follows from the first, which does not
        ("24,28,", "28*3*8", True),
        ("24,29,87,17,17,", None, True),
        ("24,,", None, True),
        ("so 24,", None, True),
        ("", None, True),
    ],
)
def test_what_is_left_is_the_value_said_and_a_step_fails_when_executed(
    text: str, left: str | None, fails: bool
) -> None:
    assert DOMAIN.state(PROBLEM, text) == left
    assert DOMAIN.fails(PROBLEM, text) is fails
    assert DOMAIN.is_good(PROBLEM, text) is not fails


def test_the_same_value_after_more_steps_leaves_something_else() -> None:
    problem = _problem("3+2*2+2")
    assert [DOMAIN.state(problem, text) for text in ("5,", "5,5,")] == ["5*2+2", "5+2"]


def test_it_knows_good_steps() -> None:
    assert able(DOMAIN, KnowsGoodSteps) is DOMAIN and able(load_domain("sorting"), KnowsGoodSteps) is None


@given(st.integers(0, 10**6), st.sampled_from(DOMAIN.levels))
def test_a_drawn_answer_is_right_and_holds_at_every_step(seed: int, level: int) -> None:
    statement = DOMAIN.draw(random.Random(seed), level)
    problem = problem_of(statement, DOMAIN.name, Origin.SEED)
    assert DOMAIN.judge(problem, statement.answer)[0] is Outcome.CORRECT
    values = statement.answer.split(",")
    assert len(values) == statement.level
    for said in range(1, len(values) + 1):
        assert not DOMAIN.fails(problem, ",".join(values[:said]) + ",")


@given(st.integers(1, 96), st.lists(st.tuples(st.sampled_from("+*"), st.integers(2, 9)), min_size=2, max_size=4))
def test_the_last_value_is_that_of_plain_arithmetic(first: int, steps: list[tuple[str, int]]) -> None:
    exact = first
    for operator, operand in steps:
        exact = exact + operand if operator == "+" else exact * operand
    chain = Chain(first, tuple(Operation(*each) for each in steps))
    assert chain.values(97)[-1] == exact % 97
    parsed = DOMAIN.parse(str(chain))
    assert isinstance(parsed, Statement) and parsed.answer.split(",")[-1] == str(exact % 97)


@given(st.integers(0, 10**6), st.integers(0, 2), st.integers(1, 96))
def test_one_value_changed_fails_there_whatever_follows(seed: int, at: int, shift: int) -> None:
    statement = DOMAIN.draw(random.Random(seed), 3)
    values = read_values(statement.answer)
    assert values is not None and len(values) == 3
    said = [*values[:at], (values[at] + shift) % 97, *values[at + 1 :]]
    assert DOMAIN.fails(problem_of(statement, DOMAIN.name, Origin.SEED), ",".join(map(str, said)))


def test_evaluation_sets_are_the_same_each_time_and_others_for_another_modulus() -> None:
    sets = DOMAIN.evaluation_sets()
    assert sets == ChainsDomain().evaluation_sets() and set(sets) == {"chain2", "chain3", "chain4"}
    assert all(len({each.canonical for each in members}) == 1000 for members in sets.values())
    assert len(ChainsDomain(modulus=11, max_operand=3).evaluation_sets()["chain2"]) == 80  # of 10 * 4 * 4


def test_an_instruction_says_the_modulus_and_the_order() -> None:
    said = ChainsDomain(modulus=31).solver_instruction
    assert "modulo 31" in said and "from left to right" in said and "7,21 for 5+2*3" in said
    assert "like 7,10 for" in ChainsDomain(modulus=11).solver_instruction  # 21 = 11 + 10


@pytest.mark.parametrize(
    "options",
    [
        {"min_steps": 1},
        {"min_steps": 4, "max_steps": 3},
        {"max_steps": 9},
        {"modulus": 10},
        {"modulus": 998},
        {"max_operand": 2},
        {"max_operand": 97},
        {"modulus": True},
    ],
)
def test_impossible_options(options: dict[str, int]) -> None:
    with pytest.raises(DomainError):
        ChainsDomain(**options)
