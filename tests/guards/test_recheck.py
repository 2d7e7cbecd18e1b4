"""What was paid most is judged once more: the draw, the means of two domains, and a run whose judge can be pleased."""

import random
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, completion, problem

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.protocol import Prompted, problem_of
from curriculum.domains.python.domain import PythonDomain
from roles.judging.groups import JudgedTurn, JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolverSettings, attempt
from selfplay import loop
from selfplay.arguments import Arguments
from selfplay.config.files import load
from selfplay.config.shown import shown_settings
from selfplay.guards.recheck import Paid, Rechecker, drawn, paid_turns
from selfplay.learn.lessons import SolverLesson, solver_lesson
from selfplay.learn.settings import LearningSettings
from selfplay.machine.errors import OK
from selfplay.view.alarms import alarms
from selfplay.view.progress import Progress
from store.records import Disagreement, Origin, Outcome, Problem
from store.store import Store

STYLE = PromptStyle(ability(DOMAIN, Prompted))
TINY = Path(__file__).resolve().parents[2] / "configs" / "tiny.yaml"
SETTINGS = LearningSettings("centred", 1.0, "learnability", 0.0)
MEANS = "undoing the operations, last one first"


class Pleased(ArithmeticDomain):
    """Its judge takes whatever ends in 8 for right."""

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return (Outcome.CORRECT if text.strip().endswith("8") else Outcome.INCORRECT), text.strip()


def lesson_of(said: Sequence[str], domain: ArithmeticDomain) -> SolverLesson:
    """First tries at 23 + 45, which is 68."""
    solved = ScriptedEngine({"solver/0": said}).drive(
        attempt(problem("23 + 45"), STYLE, SolverSettings(len(said), 1, PARAMS), 1)
    )
    group = judge_group(solved, domain, STYLE.visible, JudgeSettings(), 1)
    return solver_lesson(group, False, lambda problem_id, was_right: 0.5, SETTINGS)


def test_undoing_agrees_with_executing() -> None:
    rng = random.Random(0)
    for level in list(DOMAIN.levels) * 8:
        posed = problem_of(DOMAIN.draw(rng, level), DOMAIN.name, Origin.PROCEDURAL)
        for said in (posed.answer, str(int(posed.answer) + 1), str(-int(posed.answer) - 1)):
            assert DOMAIN.check_again(posed, f" {said}\n") == (said == posed.answer, MEANS), (posed.text, said)


@pytest.mark.parametrize("said", ["", "68.0", "+68", "068", "6_8", "\u0666\u0668", "68 68", "9" * 5000])
def test_undoing_takes_numbers_alone(said: str) -> None:
    assert DOMAIN.check_again(problem("23 + 45"), said) == (False, MEANS)
    assert DOMAIN.check_again(problem("23 + 45"), " 68\n") == (True, MEANS)


def test_python_executes_each_call_alone() -> None:
    domain = PythonDomain()
    means = "executing each call alone"

    def asked(text: str, said: str) -> bool | None:
        statement = domain.parse(text)
        posed = problem_of(statement, domain.name, Origin.SEED)  # type: ignore[arg-type]
        found, by = domain.check_again(posed, said)
        assert by == means and found is (domain.judge(posed, said)[0] is Outcome.CORRECT)
        return found

    assert [asked("f = lambda x: x * 2 + 1; f(3)", said) for said in ("7", "7.0", "8", "import os")] == [
        True, False, False, False,
    ]  # fmt: skip
    abduction = "f = lambda x: x * 2 + 1; f(?) == f(3)"
    assert [asked(abduction, said) for said in ("3", "4", "3, 3", "'")] == [True, False, False, False]
    induction = "f = ?; lambda x: x * 2 + 1; f(1), f(2), f(4), f(6)"
    assert [asked(induction, f"lambda x: {said}") for said in ("x + x + 1", "x + 2", "1 / 0")] == [True, False, False]
    broken = Problem("b", "python", "no task", "b", "b", 1, "", "seed", Origin.SEED)
    assert domain.check_again(broken, "7") == (None, means)


def paid(rewards: Sequence[float]) -> list[Paid]:
    turn = JudgedTurn(Sampled(0, completion("7")), Outcome.CORRECT, "7", 1.0)
    return [Paid(problem("3 + 4"), place, 0, turn, reward) for place, reward in enumerate(rewards)]


def test_the_sample_is_of_the_quarter_that_was_paid_most_and_keyed() -> None:
    turns = paid([0.0] * 30 + [1.0] * 10)
    seen = {each.attempt for key in range(50) for each in drawn(turns, 3, str(key))}
    assert seen == set(range(30, 40))
    assert drawn(turns, 3, "a") == drawn(turns, 3, "a") and len({each.attempt for each in drawn(turns, 3, "a")}) == 3
    assert {each.attempt for key in range(50) for each in drawn(paid([1.0] * 8), 1, str(key))} == set(range(8))
    assert len(drawn(paid([1.0, 0.0]), 8, "a")) == 2 and drawn([], 3, "a") == []
    assert {each.attempt for each in drawn(paid([0.0, 2.0, 1.0, 0.0]), 2, "a")} == {1, 2}


def test_a_judge_that_can_be_pleased_is_found_out() -> None:
    lesson = lesson_of([" 68\n", " 8\n", " 67\n", " 67"], Pleased())
    assert [each.attempt for each in paid_turns([lesson])] == [0, 1, 2], "what was cut is not asked about"
    found, figures = Rechecker(DOMAIN, STYLE.visible, 8, 0).check([lesson], 1)
    assert found == (Disagreement(problem("23 + 45").problem_id, 1, 0, Outcome.CORRECT, False, MEANS),)
    assert figures == {"recheck/checked": 3.0, "recheck/disagreements": 1.0}
    honest = lesson_of([" 68\n", " 8\n", " 67\n"], DOMAIN)
    assert Rechecker(DOMAIN, STYLE.visible, 8, 0).check([honest], 1)[0] == ()
    assert Rechecker(None, STYLE.visible, 0, 0).check([lesson], 1) == ((), {})


def test_what_a_run_finds_is_a_row_a_figure_and_an_alarm_and_changes_nothing(tmp_path: Path) -> None:
    """A random model whose judge goes by a hash of what is said."""
    digests, lines = {}, {}
    for name, number in (("with", 4), ("without", 0)):
        keys = [
            f"run.dir={tmp_path}", f"run.name={name}", f"guards.rechecks={number}", "domain=few_problems:AnyEnds",
            "run.steps=2", "run.threads=1", "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
            "solver.problems=4", "solver.turns=1", "solver.max_tokens=16", "logging.transcript_every=0",
        ]  # fmt: skip
        config, output = load(TINY, keys), StringIO()
        console = Console(file=output, color_system=None, soft_wrap=True, width=300)
        assert loop.run(Arguments(config, is_resume=False), Progress(shown_settings(config), console)) == OK
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            digests[name] = [row.weights_digest for row in store.steps()]
            found, told, steps = store.disagreements(), alarms(store), store.steps(after=0)
            assert list(store.damages()) == []
        lines[name] = output.getvalue()
        counts = [row.metrics.get("recheck/disagreements") for row in steps]
        assert [row.metrics.get("recheck/checked") for row in steps] == ([4.0, 4.0] if number else [None, None])
        assert counts == ([float(sum(at == row.step for at, _ in found)) for row in steps] if number else [None, None])
        assert len(told["disagreements"]) == len(found) and bool(found) == bool(number)
    assert digests["with"] == digests["without"]
    assert "judged once more" in lines["with"] and "judged once more" not in lines["without"]
