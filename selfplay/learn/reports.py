"""What an attempt's report on itself is paid, and what it teaches: stated confidence and self-evaluation.

A confidence is part of the answer: its proper score is added to what the answer is paid (RLCR, arXiv 2507.16806).
A self-evaluation comes after the answer's end and is paid for itself only (PCL, arXiv 2507.20252), so the answer
learns nothing from it. In both, the report's own tokens are compared with reports on answers that were as right:
whether the answer was right is fixed when the report begins, so this baseline is unbiased.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roles.judging.groups import JudgedAttempt, JudgedGroup
from roles.pay.advantages import AdvantageRule, group_advantages, stratified_advantages
from roles.pay.rewards import (
    calibrated_reward,
    class_weights,
    consistency,
    consistency_original,
    self_evaluation_reward,
)

ReportRule = Literal["none", "brier", "log", "brier_apart", "consistency", "consistency_original", "balanced"]


@dataclass(frozen=True, slots=True)
class ReportPay:
    """`reward(right, value)`: what a report of `value` (None: unread) on an answer is paid. `is_shared`: the answer is
    paid it too."""

    reward: Callable[[bool, float | None], float]
    is_shared: bool


def report_pay(rule: ReportRule, groups: Sequence[JudgedGroup]) -> ReportPay | None:
    """What the rule pays in a step of these groups; None where reports are not trained.

    `calibrated_reward` is the answer's 1 or 0 plus the confidence's proper score; the report is paid the score alone.
    "brier_apart" pays the confidence as "brier" does and the answer for being right only, as a probe of the model would
    learn it. "balanced" weighs right and wrong answers so that each class counts half in the step.
    """
    match rule:
        case "none":
            return None
        case "brier" | "log":
            return ReportPay(lambda right, value: calibrated_reward(rule, right, value) - right, is_shared=True)
        case "brier_apart":
            return ReportPay(lambda right, value: calibrated_reward("brier", right, value) - right, is_shared=False)
        case "consistency" | "consistency_original":
            pay = consistency if rule == "consistency" else consistency_original
            return ReportPay(lambda right, value: 0.0 if value is None else pay(float(right), value), is_shared=False)
        case "balanced":
            right = [attempt.is_right for group in groups for attempt in group.judged]
            weights = class_weights(sum(right), len(right) - sum(right))
            return ReportPay(
                lambda right, value: self_evaluation_reward(right, None if value is None else value > 0.5, *weights),
                is_shared=False,
            )


def with_report_terms(
    judged: Sequence[JudgedAttempt],
    rewards: Sequence[float],
    advantages: Sequence[float],
    pay: ReportPay,
    rule: AdvantageRule,
) -> tuple[list[float], list[float]]:
    """(rewards, advantages) of the last turn, with what a report that is shared adds to its answer's.

    With s_i what the report of attempt i is paid: reward_i + s_i, and advantage_i + the advantage of s_i within the
    group. Unchanged where the rule shares nothing.
    """
    if not pay.is_shared:
        return list(rewards), list(advantages)
    terms = report_terms(judged, pay)
    added = group_advantages(terms, rule)
    return (
        [reward + term for reward, term in zip(rewards, terms, strict=True)],
        [advantage + extra for advantage, extra in zip(advantages, added, strict=True)],
    )


def report_advantages(judged: Sequence[JudgedAttempt], pay: ReportPay, rule: AdvantageRule) -> list[float]:
    """Advantages of the reports' own tokens, within strata of equally right answers."""
    return stratified_advantages([attempt.is_right for attempt in judged], report_terms(judged, pay), rule)


def report_terms(judged: Sequence[JudgedAttempt], pay: ReportPay) -> list[float]:
    """What the report of each attempt is paid."""
    return [pay.reward(a.is_right, None if a.report is None else a.report.value) for a in judged]
