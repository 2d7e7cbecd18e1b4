"""pass@k: the estimator against every draw there is, and its interval against what it promises."""

import random
from itertools import combinations

import pytest

from selfplay.stats.intervals import wilson
from selfplay.stats.pass_at_k import doubling, mean_pass_at_k, pass_at_k


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 1, 4), (4, 4, 2), (4, 0, 4), (7, 3, 7)])
def test_it_is_the_share_of_all_draws_that_hold_a_right_sample(n: int, c: int, k: int) -> None:
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-15)


def test_the_numbers_of_the_paper_by_hand() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    with pytest.raises(ValueError, match="pass@4 of 1 right in 3 samples"):
        pass_at_k(3, 1, 4)


def test_which_k_are_told() -> None:
    assert [doubling(n) for n in (0, 1, 2, 6, 8)] == [[], [1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_all_samples_together_are_a_share_of_problems() -> None:
    found = mean_pass_at_k([0, 3, 1, 0, 8], 8, 8)
    assert found == (pytest.approx(0.6), *map(pytest.approx, wilson(3, 5)))


def test_problems_that_went_alike_still_leave_a_doubt() -> None:
    for right in ([0] * 5, [8] * 5, [4] * 5):
        found = mean_pass_at_k(right, 8, 1)
        assert 0.0 <= found.low < found.high <= 1.0 and found.low <= found.value <= found.high
    assert mean_pass_at_k([4] * 5, 8, 1)[1:] == pytest.approx(wilson(20, 40)), "as 40 independent tries"


def test_the_interval_holds_what_is_true_as_often_as_it_says() -> None:
    """Problems of unequal difficulty, rates uniform in (0, 1): pass@1 is 1/2, pass@4 is 1 - 1/5."""
    rng = random.Random("coverage")
    held = {1: 0, 4: 0}
    for _ in range(400):
        right = [sum(rng.random() < rate for _ in range(8)) for rate in (rng.random() for _ in range(40))]
        for k, truth in ((1, 1 / 2), (4, 4 / 5)):
            found = mean_pass_at_k(right, 8, k)
            held[k] += found.low <= truth <= found.high
    assert all(0.92 <= each / 400 <= 0.985 for each in held.values()), held
