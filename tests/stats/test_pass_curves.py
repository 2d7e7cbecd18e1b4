"""pass@k of two models in pairs: by hand, against plain resampling, and where one overtakes the other."""

import math

import numpy as np
import pytest

from selfplay.stats.pass_at_k import pass_at_k
from selfplay.stats.pass_curves import Counted, paired_curves


def test_one_is_ahead_at_once_and_the_other_in_the_end() -> None:
    """Of two problems A solves one always and one never, B each in 2 of 8: at k = 1 A has 1/2 and B 1/4, and B's
    1 - C(6, k) / C(8, k) is 13/28 < 1/2 < 9/14 at k = 2 and 3."""
    found = paired_curves(Counted(8, [8, 0]), Counted(8, [2, 2]), "key")
    assert [each.k for each in found.at] == [1, 2, 4, 8]
    assert [each.first.value for each in found.at] == [0.5] * 4
    assert [each.second.value for each in found.at] == pytest.approx([1 / 4, 13 / 28, 11 / 14, 1.0])
    assert [each.difference.value for each in found.at] == pytest.approx([1 / 4, 1 / 28, -2 / 7, -1 / 2])
    assert found.overtaken_at == 3
    solved = (found.solved_by_both, found.solved_by_first, found.solved_by_second, found.solved_by_neither)
    assert solved == (1, 0, 1, 0)


def test_all_four_kinds_of_problems_are_counted() -> None:
    found = paired_curves(Counted(4, [1, 4, 0, 0, 2]), Counted(4, [2, 0, 3, 0, 0]), "key")
    solved = (found.solved_by_both, found.solved_by_first, found.solved_by_second, found.solved_by_neither)
    assert solved == (1, 2, 1, 1)


def test_equal_models_do_not_overtake_each_other() -> None:
    counted = Counted(16, [3, 0, 16, 7])
    found = paired_curves(counted, counted, "key")
    assert found.overtaken_at is None
    assert all(each.difference == (0.0, 0.0, 0.0) for each in found.at)


def test_intervals_are_those_of_resampled_problems_and_have_their_coverage() -> None:
    """Of 40 problems, whose true difference is known: the 95% interval holds it in 88 to 100% of 100 draws, and is as
    wide as the central limit theorem has it, within a tenth."""
    generator = np.random.default_rng(0)
    held, n, k = 0, 16, 4
    for trial in range(100):
        rates = generator.beta(1, 3, 40), generator.beta(2, 2, 40)
        first, second = (Counted(n, [int(generator.binomial(n, p)) for p in each]) for each in rates)
        at = next(each for each in paired_curves(first, second, str(trial)).at if each.k == k)
        truth = float(1 - _mean_power(1, 3, k) - (1 - _mean_power(2, 2, k)))
        held += at.difference.low <= truth <= at.difference.high
        values = [pass_at_k(n, a, k) - pass_at_k(n, b, k) for a, b in zip(first.right, second.right, strict=True)]
        usual = 2 * 1.96 * float(np.std(values)) / math.sqrt(40)
        assert at.difference.high - at.difference.low == pytest.approx(usual, rel=0.1)
    assert 88 <= held <= 100


def _mean_power(a: int, b: int, k: int) -> float:
    """E (1 - p)^k of p by Beta(a, b)."""
    return math.gamma(b + k) * math.gamma(a + b) / (math.gamma(b) * math.gamma(a + b + k))


def test_the_same_key_gives_the_same_interval() -> None:
    first, second = Counted(8, list(range(9))), Counted(8, [4] * 9)
    assert paired_curves(first, second, "a") == paired_curves(first, second, "a")
    assert paired_curves(first, second, "a") != paired_curves(first, second, "b")


@pytest.mark.parametrize(("first", "second"), [((4, [1]), (8, [1])), ((4, [1]), (4, [1, 2])), ((4, []), (4, []))])
def test_what_cannot_be_paired(first: tuple[int, list[int]], second: tuple[int, list[int]]) -> None:
    with pytest.raises(ValueError, match="as many samples"):
        paired_curves(Counted(*first), Counted(*second), "key")
