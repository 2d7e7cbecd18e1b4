"""Edit distances between turns, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfplay.stats.edits import edit_histogram, edit_ratio


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [("68", "68", 0.0), ("", "", 0.0), ("68", "67", 0.25), ("abc", "", 1.0), ("12", "123", 0.2)],
)
def test_the_ratio_by_hand(first: str, second: str, ratio: float) -> None:
    assert edit_ratio(first, second) == edit_ratio(second, first) == pytest.approx(ratio)


@given(first=st.text(max_size=20), second=st.text(max_size=20))
def test_the_ratio_is_in_range_and_zero_for_copies_only(first: str, second: str) -> None:
    ratio = edit_ratio(first, second)
    assert 0.0 <= ratio <= 1.0 and (ratio == 0.0) == (first == second)


def test_the_histogram_holds_both_ends() -> None:
    assert edit_histogram([0.0, 0.05, 0.1, 0.55, 1.0], 10) == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert edit_histogram([], 3) == [0, 0, 0]


@given(ratios=st.lists(st.floats(0, 1)), bins=st.integers(1, 12))
def test_the_histogram_counts_each_ratio_once(ratios: list[float], bins: int) -> None:
    counts = edit_histogram(ratios, bins)
    assert len(counts) == bins and sum(counts) == len(ratios)
