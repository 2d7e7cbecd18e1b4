"""Intervals and pass@k, against values worked by hand and against counting."""

from itertools import combinations
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfplay.statistics import Z95, mean_interval, pass_at_k, wilson


def test_wilson_by_hand() -> None:
    # n = 10, 5 right: the centre stays at 1/2, the half-width is z / (2 sqrt(n + z^2))
    half = Z95 / (2 * sqrt(10 + Z95**2))
    assert wilson(5, 10) == pytest.approx((0.5 - half, 0.5 + half))
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_wilson_at_the_ends_has_a_width() -> None:
    z2 = Z95**2
    assert wilson(0, 8) == pytest.approx((0.0, z2 / (8 + z2)))
    assert wilson(8, 8) == pytest.approx((8 / (8 + z2), 1.0))


def test_nothing_measured_is_no_knowledge() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert mean_interval([]) == (0.0, 0.0, 0.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    right, n = counts
    low, high = wilson(right, n)
    assert 0.0 <= low <= right / n + 1e-12
    assert right / n - 1e-12 <= high <= 1.0
    mirrored = wilson(n - right, n)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-9)


def test_mean_interval_by_hand() -> None:
    # differences 1, 0, 0, -1, 1: mean 0.2, variance (0.64 + 2 * 0.04 + 1.44 + 0.64) / 4 = 0.7
    half = Z95 * sqrt(0.7 / 5)
    assert mean_interval([1.0, 0.0, 0.0, -1.0, 1.0]) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_equal_differences_have_no_width() -> None:
    assert mean_interval([0.5] * 9) == (0.5, 0.5, 0.5)
    assert mean_interval([1.0]) == (1.0, 1.0, 1.0)


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5)  # 3 of the 6 pairs hold the right one
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)
    assert pass_at_k(8, 0, 8) == 0.0
    assert pass_at_k(8, 1, 8) == 1.0
    assert pass_at_k(5, 3, 3) == 1.0  # two wrong ones cannot fill three places


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_subsets(given_counts: tuple[int, int, int]) -> None:
    n, correct, k = given_counts
    subsets = list(combinations(range(n), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(min(s) < correct for s in subsets) / len(subsets))


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_impossible_counts_are_refused(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, correct, k)
