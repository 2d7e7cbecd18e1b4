"""Intervals and exact tests, against values worked by hand and against counting."""

from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfplay.stats.intervals import Z95, mcnemar, paired_interval, smallest_fall, t95, wilson


def test_t95_is_that_of_the_tables() -> None:
    found = t95([1, 2, 3, 4, 10, 30, 1e7]).tolist()
    assert found == pytest.approx([12.7062, 4.3027, 3.1824, 2.7764, 2.2281, 2.0423, Z95], abs=5e-5)
    assert t95(2) > t95(2.5) > t95(3)
    with pytest.raises(ValueError, match=r"1 degree of freedom or more, not 0\.5"):
        t95(0.5)


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


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    right, n = counts
    low, high = wilson(right, n)
    assert 0.0 <= low <= right / n + 1e-12
    assert right / n - 1e-12 <= high <= 1.0
    mirrored = wilson(n - right, n)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-9)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (0, 5, 2 / 32), (0, 6, 2 / 64), (8, 1, 2 * 10 / 512), (3, 3, 1.0)],
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(p)


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        (0, 0, 50, -(Z95**2) / (50 + Z95**2), Z95**2 / (50 + Z95**2)),  # nothing changed: q = 0, z^2 (1 - x) = n x
        # -1 has no other outcome than this: the upper bound solves z^2 = n (1 + x) / (1 - x)
        (0, 9, 9, -1.0, -1 + 2 * Z95**2 / (9 + Z95**2)),
    ],
)
def test_paired_interval_by_hand(gained: int, lost: int, n: int, low: float, high: float) -> None:
    assert paired_interval(gained, lost, n) == pytest.approx(((gained - lost) / n, low, high), abs=1e-4)
    mirrored = paired_interval(lost, gained, n)
    assert mirrored == pytest.approx(((lost - gained) / n, -high, -low), abs=1e-4)


def test_small_sets_without_a_change_are_no_proof_of_none() -> None:
    """Case 12: the normal interval had no width at all there."""
    assert paired_interval(0, 0, 18)[1] < -0.15
    assert paired_interval(0, 0, 0) == (0.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="4 gained and 2 lost of 5"):
        paired_interval(4, 2, 5)


@given(st.integers(1, 120).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_the_interval_leaves_zero_out_only_where_the_exact_test_rejects(counts: tuple[int, int, int]) -> None:
    n, one, other = counts
    gained, lost = one, min(other, n - one)
    change, low, high = paired_interval(gained, lost, n)
    assert -1.0 <= low <= change + 1e-9 and change - 1e-9 <= high <= 1.0
    assert low <= 0.0 <= high or mcnemar(gained, lost) < 0.05


@pytest.mark.parametrize("n", [18, 27])
def test_paired_intervals_hold_the_truth_as_often_as_they_say(n: int) -> None:
    """Case 12: by summing over every outcome of n problems, not by drawing."""
    outcomes = [(gained, lost) for gained in range(n + 1) for lost in range(n + 1 - gained)]
    found = {each: paired_interval(*each, n)[1:] for each in outcomes}
    for gain, loss in ((0.0, 0.05), (0.02, 0.02), (0.05, 0.3), (0.1, 0.2), (0.25, 0.45), (0.0, 0.6)):
        held = 0.0
        for (gained, lost), (low, high) in found.items():
            ways = comb(n, gained) * comb(n - gained, lost)
            chance = ways * gain**gained * loss**lost * (1 - gain - loss) ** (n - gained - lost)
            held += chance * (low - 1e-9 <= gain - loss <= high + 1e-9)
        assert held >= 0.94


def test_what_a_set_can_show_at_all() -> None:
    """Case 12: five lost of 18 may be chance, six are not."""
    assert [smallest_fall(n) for n in (0, 4, 18, 27, 100)] == [1.0, 1.0, 6 / 18, 6 / 27, 0.06]
    assert paired_interval(0, 5, 18)[2] == 0.0 > paired_interval(0, 6, 18)[2]
