"""What turns are paid part by part, and what graded scores teach where nothing is right."""

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.protocol import Prompted, Verdict
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group, pass_rate
from roles.judging.rewards import entries, load
from roles.pay.advantages import second_look_advantages
from roles.pay.rewards import soft_overlong
from roles.prompts import PromptStyle
from roles.solver import REPORT_LABEL, SolverSettings, attempt
from selfplay.learn.lessons import SolverLesson, solver_lesson
from selfplay.learn.reports import report_pay
from selfplay.learn.settings import LearningSettings
from store.records import Outcome, PassRate, Problem, ProblemState, StepHistory

PROBLEM = problem("23 + 45")
PARTS = load(
    entries([{"part": "verdict", "weight": 0.7}, {"part": "length", "weight": 0.1, "free": 2, "limit": 9}]), 1.0
)


class Graded(ArithmeticDomain):
    """Nothing is right. The score is the number of tenths that an answer ends in."""

    def judge(self, problem: Problem, text: str) -> Verdict:  # type: ignore[override]
        return Verdict(Outcome.INCORRECT, text.strip(), int(text.strip()[-1]) / 10)


def taught(group: JudgedGroup, **changes: object) -> SolverLesson:
    settings = LearningSettings("centred", 1.5, "learnability", 0.0, **changes)  # type: ignore[arg-type]
    pay = report_pay(settings.report_reward, [group])
    return solver_lesson(group, False, lambda problem_id, was_right: 0.3, settings, pay)


@pytest.mark.parametrize("first_turn_reward", ["own", "last"])
def test_parts_are_in_order_and_sum_to_what_every_turn_was_paid(first_turn_reward: str) -> None:
    said = {"solver/0": [" 68\n", " 67\n", " 6\n", " 680\n"], "solver/1": [" 68\n", " 68\n", " 11111\n", " x\n"]}
    engine = ScriptedEngine(said | {REPORT_LABEL: [" 0.7\n", " 0.1\n", " x\n", " 1\n"]})
    asked = SolverSettings(4, 2, PARAMS, report="confidence", report_params=PARAMS)
    solved = engine.drive(attempt(PROBLEM, PromptStyle(ability(DOMAIN, Prompted)), asked, step=1))
    group = judge_group(solved, DOMAIN, PromptStyle(ability(DOMAIN, Prompted)).visible, JudgeSettings(PARTS), step=1)
    found = taught(group, report_reward="brier", first_turn_reward=first_turn_reward)
    for paid, parts in zip(found.paid, found.parts, strict=True):
        assert [list(turn) for turn in parts] == [["verdict", "length"], ["verdict", "length", "correction", "report"]]
        for reward, of in zip(paid, parts, strict=True):
            total = 0.0
            for share in of.values():
                total += share
            assert reward == total, "the very number, in this order"
    assert found.parts[1][1]["correction"] == pytest.approx(1.5 * 0.7, abs=1e-12)
    assert found.parts[1][1]["report"] == pytest.approx(-0.81)


def graded(firsts: list[str], seconds: list[str]) -> JudgedGroup:
    engine, style = ScriptedEngine({"solver/0": firsts, "solver/1": seconds}), PromptStyle(ability(Graded(), Prompted))
    solved = engine.drive(attempt(PROBLEM, style, SolverSettings(len(firsts), 2, PARAMS), step=1))
    return judge_group(solved, style.domain, style.visible, JudgeSettings(), step=1)


def test_a_group_that_is_all_wrong_teaches_where_its_scores_differ() -> None:
    found = taught(graded([" 2\n", " 8\n"], [" 5\n", " 5\n"]))
    assert [s.advantage for s in found.samples if s.label == "solver/0"] == pytest.approx([-0.3, 0.3])
    assert (found.is_kept, found.is_mixed) == (True, True)
    alike = taught(graded([" 2\n", " 2\n"], [" 5\n", " 5\n"]))
    assert (alike.samples, alike.is_mixed) == ((), False)


def test_second_looks_after_graded_first_tries_are_compared_by_what_they_decided() -> None:
    """No two first tries have one score. Compared with a running estimate of right answers they would all be bad."""

    def no_estimate(was_right: bool) -> float:
        raise AssertionError

    pairs = [(0.2, 0.6), (0.8, 0.4), (0.5, 0.5)]
    found = second_look_advantages(pairs, 1.0, "rloo", no_estimate, was_right=[False] * 3)
    assert found == pytest.approx([2 * (0.6 - 0.45), 2 * (0.4 - 0.55), 0.0])
    apart = second_look_advantages(pairs[:2], 1.0, "rloo", lambda right: 0.25, None, [True, False], right_pays=0.7)
    assert apart == pytest.approx([2 * (0.6 - 0.25 * 0.7), 2 * (0.4 - 0.25 * 0.7)])


def test_the_curriculum_counts_a_graded_group_as_a_signal_and_by_outcome() -> None:
    rate = pass_rate(graded([" 2\n", " 8\n"], [" 5\n", " 5\n"]), 0)
    assert rate == PassRate(PROBLEM.problem_id, 0, 2, 0, missed=2, is_graded=True) and rate.has_signal
    flat = pass_rate(graded([" 2\n", " 2\n"], [" 5\n", " 5\n"]), 0)
    assert flat is not None and not flat.has_signal
    after = {is_graded: followed(is_graded) for is_graded in (True, False)}
    name = PROBLEM.problem_id
    assert after[True].state(name) is ProblemState.ACTIVE and after[False].state(name) is ProblemState.TOO_HARD
    assert name in after[True].mixed and name not in after[False].mixed
    assert after[True].signal_rate(of_new=False) > 0.6 > 0.4 > after[False].signal_rate(of_new=False)
    assert after[True].rate(name) == after[False].rate(name)


def followed(is_graded: bool) -> Tracker:
    """After three groups of eight without a right answer."""
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, (PROBLEM,), (), ()))
    for step in (1, 2, 3):
        measured = PassRate(PROBLEM.problem_id, step - 1, 8, 0, missed=8, is_graded=is_graded)
        tracker.observe(StepHistory(step, step, (), (), (measured,)))
    return tracker


@pytest.mark.parametrize(("tokens", "paid"), [(0, 0.0), (10, 0.0), (11, -0.1), (15, -0.5), (20, -1.0), (999, -1.0)])
def test_what_is_too_long_pays_less(tokens: int, paid: float) -> None:
    """DAPO, equation 13, with L_max - L_cache = 10 and L_max = 20."""
    assert soft_overlong(tokens, 10, 20) == pytest.approx(paid)
