"""Edit distances between turns, by hand."""

import pytest

from roles.behaviour import edit_histogram, edit_ratio


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [("68", "68", 0.0), ("", "", 0.0), ("68", "67", 0.25), ("abc", "", 1.0), ("12", "123", 0.2)],
)
def test_the_ratio_by_hand(first: str, second: str, ratio: float) -> None:
    assert edit_ratio(first, second) == edit_ratio(second, first) == pytest.approx(ratio)


def test_the_histogram_holds_both_ends() -> None:
    assert edit_histogram([0.0, 0.05, 0.1, 0.55, 1.0], 10) == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert edit_histogram([], 3) == [0, 0, 0]
