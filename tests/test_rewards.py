"""Rewards: the tables of algorithms.md 1 and 11.5, worked by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.rewards import azr, challenger_reward, correction_reward, learnability, r_zero

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
