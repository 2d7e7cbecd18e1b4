"""Rewards: the tables of algorithms.md 1 and 11.5, worked by hand."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.tracking.posterior import learnability
from roles.pay.rewards import (
    LOG_FLOOR,
    ConfidenceRule,
    azr,
    calibrated_reward,
    challenger_reward,
    class_weights,
    consistency,
    consistency_original,
    correction_reward,
    parse_confidence,
    parse_self_evaluation,
    r_zero,
    self_evaluation_reward,
)

RATES = st.integers(1, 32).flatmap(lambda n: st.integers(0, n).map(lambda k: float(Fraction(k, n))))


@pytest.mark.parametrize(
    ("rate", "learnable", "by_azr", "by_r_zero"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.1, 0.36, 0.9, 0.2),
        (0.25, 0.75, 0.75, 0.5),
        (0.5, 1.0, 0.5, 1.0),
        (0.75, 0.75, 0.25, 0.5),
        (0.9, 0.36, 0.1, 0.2),
        (1.0, 0.0, 0.0, 0.0),
    ],
)
def test_challenger_rewards_are_the_published_table(
    rate: float, learnable: float, by_azr: float, by_r_zero: float
) -> None:
    assert learnability(rate) == pytest.approx(learnable)
    assert azr(rate) == pytest.approx(by_azr)
    assert r_zero(rate) == pytest.approx(by_r_zero)


def test_the_rule_chooses_the_reward() -> None:
    assert challenger_reward("learnability", 0.25) == 0.75
    assert challenger_reward("azr", 0.125) == 0.875
    assert challenger_reward("r_zero", 0.25) == 0.5
    assert [challenger_reward("difficulty", rate) for rate in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]  # unlike azr


@given(RATES)
def test_no_rule_leaves_its_range_or_pays_for_the_unsolved(rate: float) -> None:
    for rule in (learnability, azr, r_zero):
        assert 0.0 <= rule(rate) <= 1.0
        assert rule(0.0) == 0.0


@given(RATES)
def test_learnability_is_symmetric_and_never_below_r_zero(rate: float) -> None:
    assert learnability(rate) == pytest.approx(learnability(1.0 - rate))
    assert learnability(rate) >= r_zero(rate) - 1e-12


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(0.0, 0.0, 0.0), (0.0, 1.0, 11.0), (1.0, 1.0, 1.0), (1.0, 0.0, -10.0)]
)
def test_correction_bonus_is_the_table_of_score(before: float, after: float, expected: float) -> None:
    assert correction_reward(before, after, alpha=10.0) == expected


def test_without_a_bonus_the_second_look_is_paid_for_itself() -> None:
    assert [correction_reward(b, a, alpha=0.0) for b in (0.0, 1.0) for a in (0.0, 1.0)] == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("1", 1.0), (" 0.7\n", 0.7), ("0.25", 0.25), ("1.00", 1.0), ("0.0", 0.0), ("0.1234", 0.1234)],
)
def test_confidences_that_are_read(text: str, value: float) -> None:
    assert parse_confidence(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "nan", "inf", "1e-1", "0,5", "50%", ".5", "0.", "1.2", "1.01", "-0", "-0.5", "+1", "2", "00", "0.12345",
     "1.00000", "1.", "1_0", "0x1", "0 5", "0.5.5", "0\x00", "\u00a00.5", "\u22120",
     "\u0661", "0.\uff15", "0.5 sure", "1" * 5000, "__import__('os')"],
)  # fmt: skip
def test_anything_else_is_no_confidence(text: str) -> None:
    assert parse_confidence(text) is None


@given(text=st.from_regex(r"0\.[0-9]{1,4}|1\.0{1,4}", fullmatch=True))
def test_every_spelling_is_read_as_its_number(text: str) -> None:
    assert parse_confidence(f" {text}\n") == float(text)


@given(text=st.text() | st.text(alphabet="01259.,-+e% \u0661", max_size=7))
def test_a_confidence_is_in_range_or_none(text: str) -> None:
    found = parse_confidence(text)
    assert found is None or 0.0 <= found <= 1.0


def expected(rule: ConfidenceRule, p: float, q: float) -> float:
    """Mean reward of stating q when right with probability p."""
    return p * calibrated_reward(rule, True, q) + (1 - p) * calibrated_reward(rule, False, q)


@given(p=st.floats(0, 1), q=st.floats(0, 1))
def test_the_brier_reward_is_best_at_the_truth_and_worth_its_square(p: float, q: float) -> None:
    assert expected("brier", p, q) == pytest.approx(p**2 - (q - p) ** 2, abs=1e-12)
    assert expected("brier", p, p) == pytest.approx(p**2, abs=1e-12)
    assert expected("brier", p, q) <= expected("brier", p, p) + 1e-12


@given(p=st.floats(0, 1), other=st.floats(0, 1))
def test_an_honest_likelier_answer_is_worth_more_by_brier_and_not_by_log(p: float, other: float) -> None:
    low, high = sorted((p, other))
    assert expected("brier", low, low) <= expected("brier", high, high) + 1e-12
    assert expected("log", 0.3, 0.3) < expected("log", 0.01, 0.01)


def test_the_best_confidence_is_the_probability() -> None:
    grid = [i / 100 for i in range(101)]
    for p in (0.0, 0.05, 0.3, 0.5, 0.77, 1.0):
        assert max(grid, key=lambda q: expected("brier", p, q)) == p
    for p in (0.05, 0.3, 0.5, 0.77):
        assert max(grid, key=lambda q: expected("log", p, q)) == p  # proper too; its fault is elsewhere


def test_brier_by_hand() -> None:
    assert [calibrated_reward("brier", True, q) for q in (1.0, 0.5, 0.0)] == [1.0, 0.75, 0.0]
    assert [calibrated_reward("brier", False, q) for q in (1.0, 0.5, 0.0)] == [-1.0, -0.25, 0.0]


def test_log_by_hand() -> None:
    assert [calibrated_reward("log", True, q) for q in (0.5, 0.25)] == pytest.approx([1 - math.log(2), 1 - math.log(4)])
    assert [calibrated_reward("log", False, q) for q in (0.5, 0.75)] == pytest.approx([-math.log(2), -math.log(4)])
    sure = [calibrated_reward("log", right, q) for right in (True, False) for q in (1.0, 0.0)]
    near, far = math.log(0.999), math.log(0.001)  # as far as a confidence is moved from 0 and 1
    assert sure == pytest.approx([1 + near, 1 + far, far, near])


def test_with_the_log_score_a_sure_mistake_beats_an_honest_hard_answer() -> None:
    def value(p: float) -> float:
        return expected("log", p, p)

    surely_wrong = expected("log", 0.0, 0.0)
    assert surely_wrong == pytest.approx(math.log(1 - LOG_FLOOR))
    assert value(0.3) == pytest.approx(0.3 + 0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert all(value(p) < surely_wrong < expected("brier", p, p) for p in (0.1, 0.3, 0.5, 0.6))
    low, high = 0.5, 0.9  # p - H(p) = 0 between them
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < 0 else (low, middle)
    assert low == pytest.approx(0.64842, abs=1e-5)


def test_silence_is_paid_worst() -> None:
    for rule in ("brier", "log"):
        unread = calibrated_reward(rule, True, None)  # type: ignore[arg-type]
        assert unread == calibrated_reward(rule, False, None)  # type: ignore[arg-type]
        assert all(unread <= calibrated_reward(rule, right, q) for right in (True, False) for q in (0.0, 0.3, 1.0))  # type: ignore[arg-type]


def test_self_evaluations_are_one_or_zero() -> None:
    assert (parse_self_evaluation(" 1\n"), parse_self_evaluation("0")) == (True, False)
    assert [parse_self_evaluation(text) for text in ("", "10", "yes", "1.0", "\u0661", "[1, 1]")] == [None] * 6


def test_an_honest_wrong_pays_only_when_nothing_over_nothing_is_no_error() -> None:
    assert (consistency(0.0, 0.0), consistency_original(0.0, 0.0)) == (1.0, 0.0)
    for truth, prediction, paid in (
        (1.0, 1.0, 1.0),
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (1.0, 0.5, 0.5),
        (0.5, 0.125, 0.25),
    ):
        assert consistency(truth, prediction) == consistency_original(truth, prediction) == paid


def test_classes_count_half_each_whatever_their_size() -> None:
    right, wrong = class_weights(6, 2)
    assert (right, wrong) == pytest.approx((8 / 12, 2.0))
    always_right = 6 * self_evaluation_reward(True, True, right, wrong)
    honest = always_right + 2 * self_evaluation_reward(False, False, right, wrong)
    assert (always_right, honest) == pytest.approx((4.0, 8.0))
    assert self_evaluation_reward(False, True, right, wrong) == self_evaluation_reward(True, None, right, wrong) == 0.0
    assert (class_weights(5, 0), class_weights(0, 3), class_weights(0, 0)) == ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0))


@given(num_right=st.integers(1, 500), num_wrong=st.integers(1, 500))
def test_no_constant_claim_pays_more_than_the_other(num_right: int, num_wrong: int) -> None:
    weights = class_weights(num_right, num_wrong)

    def total(claim: bool) -> float:
        right, wrong = (self_evaluation_reward(is_right, claim, *weights) for is_right in (True, False))
        return num_right * right + num_wrong * wrong

    assert total(True) == pytest.approx(total(False)) == pytest.approx((num_right + num_wrong) / 2)
