"""What executing an action gives, in each domain that has steps to execute: by hand, along the right path, and of
hostile texts."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.domains.abilities import ability
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Drawable, Executable, Posable, Statement, problem_of
from curriculum.domains.stepping import Stand, right_path
from curriculum.validation import NASTY_TEXTS, validate_domain
from store.records import Origin, Problem

NAMES = ("arithmetic", "chains", "python")
INDUCTION = "f = ?; lambda x: x + 3; f(1), f(4), f(6), f(8)"
PROBLEMS = {
    "arithmetic": ("38 + 47 - 12", "3 - 5 + 9", "2 + 3 * 4 * 5", "7 * 8"),
    "chains": ("45*7+5*3*8", "2*3+4"),
    "python": ("f = lambda x: x * 2 + 1; f(3)", "f = lambda x: x * 2 + 1; f(?) == f(3)", INDUCTION),
}


def domain(name: str) -> Executable:
    return ability(load_domain(name, {}), Executable, "a test")


def stated(name: str, text: str) -> Problem:
    found = ability(domain(name), Posable, "a test").parse(text)
    assert isinstance(found, Statement), text
    return problem_of(found, name, Origin.SEED)


@pytest.mark.parametrize(
    ("name", "text", "state", "action", "after"),
    [
        ("arithmetic", "38 + 47 - 12", "38 + 47 - 12 =", "85", "85 - 12 ="),
        ("arithmetic", "38 + 47 - 12", "38 + 47 - 12 =", " 73\n", "73"),  # the whole at once
        ("arithmetic", "38 + 47 - 12", "38 + 47 - 12 =", "84", "38 + 47 is 85, not 84"),
        ("arithmetic", "38 + 47 - 12", "85 - 12 =", "73", "73"),
        ("arithmetic", "38 + 47 - 12", "73", "73", "nothing to do"),
        ("arithmetic", "2 + 3 * 4", "2 + 3 * 4 =", "12", "2 + 12 ="),  # products first
        ("arithmetic", "3 - 5 + 9", "3 - 5 + 9 =", "7", "7"),  # 3 - 5 is below 0: nothing could go on with it
        ("arithmetic", "3 - 5 + 9", "3 - 5 + 9 =", "-2", "3 - 5 + 9 is 7, not -2"),
        ("arithmetic", "7 * 8", "7 * 8 =", "fifty-six", "no number"),
        ("chains", "45*7+5*3*8", "45*7+5*3*8 =", "24", "24+5*3*8 ="),
        ("chains", "45*7+5*3*8", "45*7+5*3*8 =", "25", "45*7 is 24, not 25"),
        ("chains", "45*7+5*3*8", "87*8 =", " 17 ", "17"),
        ("chains", "45*7+5*3*8", "45*7+5*3*8 =", "24,29", "no value"),  # one step is one value
        ("chains", "45*7+5*3*8", "17", "17", "nothing to do"),
        ("chains", "45*7+5*3*8", "500*7 =", "8", "nothing to do"),  # no value modulo 97
        ("python", PROBLEMS["python"][0], "f = lambda x: x * 2 + 1; f(3) ==", "7", "== 7"),
        ("python", PROBLEMS["python"][0], "f = lambda x: x * 2 + 1; f(3) ==", "8", "== 7, not 8"),
        ("python", PROBLEMS["python"][0], "f = lambda x: x * 2 + 1; f(3) ==", "7.0", "== 7, not 7.0"),
        ("python", PROBLEMS["python"][0], "f = lambda x: x * 2 + 1; f(3) ==", "f(3)", "no value"),
        ("python", PROBLEMS["python"][1], "f = lambda x: x * 2 + 1; f(?) == 7; ? =", "3", "== 7"),
        ("python", PROBLEMS["python"][1], "f = lambda x: x * 2 + 1; f(?) == 7; ? =", "4", "== 9, not 7"),
        ("python", PROBLEMS["python"][1], "f = lambda x: x * 2 + 1; f(?) == 7; ? =", "'a'", "TypeError"),
        ("python", INDUCTION, "f(1) == 4; f(4) == 7; f =", "lambda x: x + 3", "as shown, and beyond"),
        ("python", INDUCTION, "f(1) == 4; f(4) == 7; f =", "lambda x: 4 if x < 2 else 7", "as shown, not beyond"),
        ("python", INDUCTION, "f(1) == 4; f(4) == 7; f =", "lambda x: x + 2", "f(1) == 3, not 4"),
        ("python", INDUCTION, "f(1) == 4; f(4) == 7; f =", "x + 3", "no program"),
        ("python", INDUCTION, "another state", "lambda x: x + 3", "nothing to do"),
    ],
)
def test_what_executing_an_action_gives(name: str, text: str, state: str, action: str, after: str) -> None:
    assert domain(name).executes(stated(name, text), state, action) == after


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        (
            "chains", "45*7+5*3*8",
            [("45*7+5*3*8 =", "24"), ("24+5*3*8 =", "29"), ("29*3*8 =", "87"), ("87*8 =", "17")],
        ),
        ("arithmetic", "38 + 47 - 12", [("38 + 47 - 12 =", "85"), ("85 - 12 =", "73")]),
        ("arithmetic", "2 + 3 * 4 * 5", [("2 + 3 * 4 * 5 =", "12"), ("2 + 12 * 5 =", "60"), ("2 + 60 =", "62")]),
        ("python", PROBLEMS["python"][0], [("f = lambda x: x * 2 + 1; f(3) ==", "7")]),
        ("python", INDUCTION, [("f(1) == 4; f(4) == 7; f =", "lambda x: x + 3")]),
    ],
)  # fmt: skip
def test_the_right_path(name: str, text: str, path: list[tuple[str, str]]) -> None:
    found = right_path(domain(name), stated(name, text))
    assert [(each.state, each.action) for each in found] == path
    for before, after in pairwise(found):
        assert before.ahead == (after.state, *after.ahead)
    assert len(found[-1].ahead) == 1  # where nothing is left to do


@pytest.mark.parametrize("name", NAMES)
def test_paths_begin_with_the_question_and_end_with_an_answer_that_is_judged_right(name: str) -> None:
    """Of drawn problems: the last right action is what the judge reads, in chains behind the others."""
    drawing, rng = ability(domain(name), Drawable, "a test"), random.Random(7)
    for level in list(drawing.levels)[:3]:
        for _ in range(6):
            problem = problem_of(drawing.draw(rng, level), name, Origin.PROCEDURAL)
            path = right_path(domain(name), problem)
            actions = [str(each.action) for each in path]
            said = ",".join(actions) if name == "chains" else actions[-1]
            assert domain(name).judge(problem, said)[0] == "CORRECT", (problem.text, said)


def test_a_domain_that_knows_no_right_action_has_its_first_state_alone() -> None:
    class Bare:
        name = "bare"

        def executes(self, problem: Problem, state: str, action: str) -> str:
            return "done"

        def seeds(self) -> list[Statement]:
            return []

        def judge(self, problem: Problem, text: str) -> None:
            return None

    able = ability(Bare(), Executable, "a test")  # type: ignore[arg-type]
    assert right_path(able, stated("chains", "2*3+4")) == [Stand("2*3+4")]


HOSTILE = [*NASTY_TEXTS, "__import__('os').system('touch owned')", "lambda x: x.__class__", "lambda x: [0] * 10**12",
           "9" * 20, "-" * 3000, "lambda: 0", "7; 8", "Right: 24", "while True: pass"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_hostile_actions_and_states_give_a_line_and_lead_nowhere(name: str) -> None:
    able = domain(name)
    for text in PROBLEMS[name]:
        problem = stated(name, text)
        first = right_path(able, problem)[0]
        for hostile in HOSTILE:
            after = able.executes(problem, first.state, hostile)
            assert isinstance(after, str) and after not in first.ahead, hostile[:60]
            assert isinstance(able.executes(problem, hostile, str(first.action)), str)
            assert able.expert(problem, hostile) is None, hostile[:60]


@given(st.text(max_size=40), st.text(alphabet="0123456789+-*=, ", max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_text_raises(free: str, near: str) -> None:
    for name in ("arithmetic", "chains"):
        problem = stated(name, PROBLEMS[name][0])
        for text in (free, near):
            assert isinstance(domain(name).executes(problem, domain(name).begins(problem), text), str)
            assert isinstance(domain(name).executes(problem, text, "24"), str)


class Circling(ChainsDomain):
    """A right action leads back to where it was."""

    def executes(self, problem: Problem, state: str, action: str) -> str:
        return state if action == self.expert(problem, state) else "no"

    def expert(self, problem: Problem, state: str) -> str | None:
        return "1"


class Credulous(ChainsDomain):
    """Whatever is said leads on."""

    def executes(self, problem: Problem, state: str, action: str) -> str:
        return super().executes(problem, state, str(self.expert(problem, state)))


@pytest.mark.parametrize(("made", "words"), [(Circling, "without an end"), (Credulous, "leads to")])
def test_a_domain_whose_actions_lead_astray_fails_its_check(made: type[ChainsDomain], words: str) -> None:
    checks = {each.name: each for each in validate_domain(made())}
    assert not checks["right actions lead on"].passed and words in checks["right actions lead on"].detail


@pytest.mark.parametrize("name", NAMES)
def test_the_projects_own_pass_it(name: str) -> None:
    checks = {each.name: each for each in validate_domain(load_domain(name, {}))}
    assert checks["right actions lead on"].passed
