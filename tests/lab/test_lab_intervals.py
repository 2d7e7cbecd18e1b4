"""Intervals over seeds and problems: by hand, against the analysis of variance, and how often they hold the truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lab_rows import SETS, made_row, made_rows, outcomes

from selfplay.lab.verdict.coverage import accuracy_coverage, calibration_coverage
from selfplay.lab.verdict.intervals import interval
from selfplay.lab.verdict.measures import acc_t1, between, delta, from_metrics, largest, of, ratio
from selfplay.lab.verdict.views import cell_views
from selfplay.stats.intervals import t95


def test_a_measure_of_seeds_alone_has_the_t_interval() -> None:
    """Case 9: the bootstrap gave [4, 6], which is the least and the most, for these three values."""
    cells = cell_views([made_row("full", seed, 0.3) for seed in (0, 1, 2)])
    half = 4.302652729 * 1.0 / math.sqrt(3)
    assert interval(of("full", from_metrics("tokens_mean")), cells) == pytest.approx((5.0, 5.0 - half, 5.0 + half))


def test_a_mean_has_the_variance_of_the_crossed_design() -> None:
    rows = [made_row(arm, seed, mended, n=40) for arm, mended in (("full", 0.4), ("base", 0.1)) for seed in (0, 1, 2)]
    cells = cell_views(rows, ("easy",))
    gained = {arm: np.array([cells[arm][s].last() * 1.0 - cells[arm][s].first() for s in (0, 1, 2)]) for arm in cells}
    values = gained["full"] - gained["base"]
    num, n = values.shape
    grand, by_seed, by_problem = values.mean(), values.mean(axis=1), values.mean(axis=0)
    ms_seed = n * ((by_seed - grand) ** 2).sum() / (num - 1)
    ms_problem = num * ((by_problem - grand) ** 2).sum() / (n - 1)
    both = values - by_seed[:, None] - by_problem + grand
    ms_both = (both**2).sum() / ((num - 1) * (n - 1))
    variance = (ms_seed + max(0.0, ms_problem - ms_both)) / (num * n)
    parts = ms_seed**2 / (num - 1) + ms_problem**2 / (n - 1) + ms_both**2 / ((num - 1) * (n - 1))
    df = max(num - 1, (variance * num * n) ** 2 / parts)
    half = max(float(t95(df)) * math.sqrt(variance), float(t95(num - 1)) * math.sqrt(ms_seed / (num * n)))
    assert interval(between("full", "base", delta), cells) == pytest.approx((grand, grand - half, grand + half))


def test_intervals_are_paired_and_do_not_depend_on_order() -> None:
    rows = made_rows(0.3)
    cells = cell_views(rows)
    once = interval(between("full", "base", delta), cells)
    assert once == pytest.approx(interval(between("full", "base", delta), cell_views(rows[::-1])), abs=1e-12)
    value, low, high = once
    assert low < value < high
    twin = cells | {"base": cells["full"]}
    assert interval(between("full", "base", delta), twin) == (0.0, 0.0, 0.0)


def test_pooled_sets_are_compared_within() -> None:
    """A difference between sets is no noise: both have 300 problems whatever is drawn."""
    rows = [
        replace(row, outcomes={"easy": {m: "3" * 300 for m in ("start", "end")}, "hard": row.outcomes["hard"]})
        for row in made_rows(0.3)
    ]
    pooled = interval(of("full", acc_t1), cell_views(rows))
    alone = interval(of("full", acc_t1), cell_views(rows, ("hard",)))
    assert pooled[0] == pytest.approx((1 + alone[0]) / 2)
    assert pooled[2] - pooled[1] == pytest.approx((alone[2] - alone[1]) / 2, rel=0.02)
    assert set(SETS) == {"easy", "hard"}


def test_one_seed_has_an_interval_over_problems_alone() -> None:
    cells = cell_views([made_row("full", 5, 0.3)])
    value, low, high = interval(of("full", acc_t1), cells)
    normal = 1.96 * math.sqrt(value * (1 - value) / 600)
    assert (value - low, high - value) == pytest.approx((normal, normal), rel=0.02)
    value, low, high = interval(of("full", from_metrics("tokens_mean")), cells)
    assert value == 9.0 and math.isnan(low) and math.isnan(high)


def test_a_measure_that_is_no_mean_has_its_linear_part() -> None:
    cells = cell_views(made_rows(0.3))
    value, low, high = interval(ratio(of("full", acc_t1), of("base", acc_t1)), cells)
    above, below = (interval(of(arm, acc_t1), cells) for arm in ("full", "base"))
    difference = interval(between("full", "base", acc_t1), cells)
    assert value == pytest.approx(above[0] / below[0])
    assert high - low == pytest.approx((difference[2] - difference[1]) / below[0], rel=0.5)
    most = interval(largest(of("full", delta), of("base", delta)), cells)
    assert most == pytest.approx(interval(of("full", delta), cells))


def test_arms_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="the same seeds in every arm"):
        interval(between("full", "base", delta), cell_views([made_row("full", 0, 0.3), made_row("base", 1, 0.0)]))
    with pytest.raises(ValueError, match="base-seed1 has problems"):
        cell_views([made_row("full", 0, 0.3), made_row("base", 1, 0.0, n=299)])
    with pytest.raises(ValueError, match="full-seed0 has no set odd"):
        cell_views([made_row("full", 0, 0.3)], ("odd",))


# how often they hold the truth


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("is_difference", [False, True])
@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.05, 0.1])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, is_difference: bool, deviation: float) -> None:
    """Case 9. The range of three seeds, which is what a bootstrap over them gives, holds it in three of four cases."""
    rng = np.random.default_rng([seeds, is_difference, round(100 * deviation)])
    for spread in (0.5, 2.0):
        found = accuracy_coverage(rng, seeds, 200, deviation, spread, is_difference, trials=600)
        assert 0.92 <= found.held <= 0.985, (spread, found)  # 0.95 to 0.97 in docs/lab/coverage.md; noise is 0.009
        assert seeds == 5 or found.range_alone < 0.8


def test_seeds_that_do_not_differ_make_no_wide_intervals() -> None:
    """Where problems are what varies an interval of three seeds is hardly wider than one that knew it."""
    found = accuracy_coverage(np.random.default_rng(0), 3, 200, 0.0, 2.0, is_difference=False, trials=600)
    assert found.width < 1.25


@pytest.mark.parametrize("name", ["auroc", "ece_corrected"])
def test_intervals_of_calibration_hold_the_truth(name: str) -> None:
    """Cases 9 and 11: figures that are no means, by the jackknife; 100 draws at 95% have a deviation of 0.022."""
    held, bias = calibration_coverage(np.random.default_rng(3), name, 3, 120, 0.02, trials=100)
    assert held >= 0.9 and abs(bias) < 0.02


def test_one_seed_holds_a_true_difference_of_binomials() -> None:
    rng = np.random.default_rng(7)
    covered, trials, n = 0, 300, 150
    template = made_row("a", 0, 0.0)
    for _ in range(trials):
        rows = []
        for arm, rate in (("a", 0.7), ("b", 0.5)):
            texts = {"start": "0" * n, "end": outcomes(rng, n, rate, 0.0, 0.0)}
            metrics = {"easy": {"n": float(n)}}
            rows.append(replace(template, arm=arm, outcomes={"easy": texts}, start=metrics, end=metrics))
        _, low, high = interval(between("a", "b", acc_t1), cell_views(rows))
        covered += low <= 0.2 <= high
    assert 0.90 <= covered / trials <= 0.985
