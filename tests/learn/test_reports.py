"""What attempts say of themselves: asked after the last turn, read strictly, paid apart from the answer or with it."""

from collections.abc import Sequence

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle, ReportKind
from roles.solver import REPORT_LABEL, SolverSettings, attempt
from selfplay.learn.lessons import SolverLesson, solver_lesson
from selfplay.learn.reports import ReportRule, report_pay
from selfplay.learn.settings import LearningSettings
from store.records import Outcome

STYLE = PromptStyle(ability(DOMAIN, Prompted))
RIGHT, WRONG = " 68\n", " 67\n"


def reported(
    kind: ReportKind, answers: Sequence[str], reports: Sequence[str], turns: int = 1
) -> tuple[ScriptedEngine, JudgedGroup]:
    """A group whose attempts say `answers` in every turn, and of them `reports`."""
    script = {f"solver/{turn}": answers for turn in range(turns)} | {REPORT_LABEL: reports}
    engine = ScriptedEngine(script)
    settings = SolverSettings(len(answers), turns, PARAMS, report=kind, report_params=PARAMS)
    said = engine.drive(attempt(problem("23 + 45"), STYLE, settings, step=1))
    return engine, judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)


def lesson(group: JudgedGroup, rule: ReportRule) -> SolverLesson:
    settings = LearningSettings("centred", 0.0, "learnability", 0.0, report_reward=rule)
    return solver_lesson(group, False, lambda problem_id, was_right: 0.5, settings, report_pay(rule, [group]))


def pushes(found: SolverLesson, label: str) -> list[float]:
    return [sample.advantage for sample in found.samples if sample.label == label]


def test_a_report_is_asked_for_after_the_last_turn() -> None:
    engine, group = reported("confidence", [RIGHT, WRONG], [" 0.7\n", " sure\n"], turns=2)
    asked = [sample for sample in engine.asked if sample.label == REPORT_LABEL]
    assert [sample.prompt for sample in asked] == ["Confidence:"] * 2
    first, second = group.attempts
    assert first.report is not None and second.report is not None
    assert (first.report.value, second.report.value) == (0.7, None)
    assert engine.text_to(first.report.sampled.node).endswith("Recheck: 23 + 45 = 68\nConfidence: 0.7\n")
    assert first.is_right and not second.is_right


def test_a_report_cut_by_length_is_unread() -> None:
    _, group = reported("self_evaluation", [RIGHT, RIGHT], [" 1\n", " 1"])
    values = [a.report.value for a in group.attempts if a.report is not None]
    assert values == [1.0, None]
    assert [a.turns[0].outcome for a in group.attempts] == [Outcome.CORRECT] * 2  # the answer stands


def test_a_confidence_is_paid_with_the_answer_and_compared_among_equally_right_ones() -> None:
    _, group = reported("confidence", [RIGHT, RIGHT, WRONG, WRONG], [" 1\n", " 0.5\n", " 0.5\n", " 0\n"])
    found = lesson(group, "brier")
    # c - (q - c)^2: 1, 0.75, -0.25, 0: their mean is 0.375
    assert [paid for (paid,) in found.paid] == pytest.approx([1.0, 0.75, -0.25, 0.0])
    assert pushes(found, "solver/0") == pytest.approx([0.625, 0.375, -0.625, -0.375])
    assert pushes(found, REPORT_LABEL) == pytest.approx([0.1875, -0.1875, -0.1875, 0.1875])


def test_an_unreadable_confidence_is_paid_worst() -> None:
    _, group = reported("confidence", [RIGHT, WRONG, WRONG], [" 1\n", " ?\n", " 1\n"])
    found = lesson(group, "brier")
    assert [paid for (paid,) in found.paid] == pytest.approx([1.0, -1.0, -1.0])
    _, sure = reported("confidence", [WRONG, WRONG], [" ?\n", " 0.9\n"])
    unread, stated = (paid for (paid,) in lesson(sure, "brier").paid)
    assert unread is not None and stated is not None and unread < stated


def test_a_self_evaluation_teaches_the_answer_nothing() -> None:
    _, group = reported("self_evaluation", [RIGHT, RIGHT, WRONG, WRONG], [" 1\n", " 0\n", " 1\n", " 0\n"])
    plain = lesson(group, "none")
    for rule in ("consistency", "consistency_original", "balanced"):
        found = lesson(group, rule)  # type: ignore[arg-type]
        assert pushes(found, "solver/0") == pushes(plain, "solver/0") == [0.5, 0.5, -0.5, -0.5]
        assert found.paid == plain.paid
    assert pushes(lesson(group, "consistency"), REPORT_LABEL) == [0.75, -0.75, -0.75, 0.75]
    assert pushes(lesson(group, "balanced"), REPORT_LABEL) == [0.75, -0.75, -0.75, 0.75]
    # the published reward pays an honest "wrong" nothing: 0/0 counts as an error
    assert pushes(lesson(group, "consistency_original"), REPORT_LABEL) == [0.75, -0.75, 0.0, 0.0]


def test_balancing_weighs_the_rarer_class_more() -> None:
    _, group = reported("self_evaluation", [RIGHT, RIGHT, RIGHT, WRONG], [" 1\n", " 1\n", " 0\n", " 0\n"])
    pay = report_pay("balanced", [group])
    assert pay is not None
    assert pay.reward(True, 1.0) == pytest.approx(4 / 6) and pay.reward(False, 0.0) == pytest.approx(2.0)
    assert pay.reward(False, 1.0) == pay.reward(True, 0.0) == pay.reward(True, None) == 0.0
