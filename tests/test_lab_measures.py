"""Measures of cells by hand, calibration from counts, and the paired bootstrap."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lab_rows import RESAMPLES, SETS, made_row, made_rows, outcomes, reporting

from selfplay.calibration import calibration_metrics
from selfplay.lab.bootstrap import CellView, NotMeasured, cell_views, interval
from selfplay.lab.measures import (
    FIGURES,
    acc_t1,
    acc_t2,
    at_start,
    between,
    c2i,
    calibrated,
    change,
    delta,
    difference,
    from_metrics,
    i2c,
    largest,
    of,
    ratio,
    report_parsed,
    same_share,
    scaled,
    wrong_admitted,
)
from selfplay.lab.rows import parse_reports

# measures, by hand


def by_hand(*sets: str) -> CellView:
    row = replace(
        made_row("full", 0, 0.3),
        outcomes={"easy": {"start": "0033", "end": "0123"}, "hard": {"start": "00", "end": "13"}},
        start={"easy": {"change_rate": 0.5}, "hard": {"change_rate": 0.0}},
        end={"easy": {"change_rate": 0.25, "tokens_mean": 3.0}, "hard": {"change_rate": 1.0, "tokens_mean": 6.0}},
        reports={"easy": {"end": "0:0.2 1:0.9 1:- 0:0.6"}, "hard": {"end": "1:0.9 0:0.2"}},
    )
    return cell_views([row], sets)["full"][0]


def test_statistics_of_a_cell_by_hand() -> None:
    view = by_hand()
    # both sets: first 001101, last 010111
    expected = {acc_t1: 3 / 6, acc_t2: 4 / 6, delta: 1 / 6, i2c: 2 / 6, c2i: 1 / 6}
    assert {statistic: float(statistic(view)) for statistic in expected} == pytest.approx(expected)
    assert float(at_start(acc_t1)(view)) == pytest.approx(2 / 6)
    assert float(acc_t2(by_hand("hard"))) == 1.0
    assert float(same_share(view)) == pytest.approx(1 - (4 * 0.25 + 2 * 1.0) / 6)
    assert float(from_metrics("tokens_mean")(view)) == pytest.approx(4.0)
    assert float(report_parsed(view)) == pytest.approx(5 / 6)
    assert float(wrong_admitted(view)) == pytest.approx(2 / 3)


def test_what_a_cell_has_not_is_not_measured() -> None:
    view = by_hand()
    for statistic in (from_metrics("fix_own"), at_start(from_metrics("tokens_mean")), at_start(calibrated("ece"))):
        with pytest.raises(NotMeasured):
            statistic(view)
    with pytest.raises(ValueError, match="has no set odd"):
        by_hand("odd")
    with pytest.raises(ValueError, match="no calibration figure"):
        calibrated("sharpness")


def test_measures_by_hand() -> None:
    rows = [made_row(arm, seed, 0.3) for arm in ("a", "b") for seed in (0, 1)]
    digits = {"a": ("0033", "0123"), "b": ("0000", "3311")}
    rows = [
        replace(row, outcomes={key: dict(zip(("start", "end"), digits[row.arm], strict=True)) for key in SETS})
        for row in rows
    ]
    cells = cell_views(rows)
    measures = {
        between("a", "b", acc_t1): 0.0,
        between("b", "a", acc_t2): 0.5,
        change("a", acc_t2): 0.0,
        ratio(of("a", acc_t1), of("a", at_start(acc_t1))): 1.0,
        ratio(of("b", acc_t1), of("b", at_start(acc_t1))): math.inf,
        ratio(of("b", c2i), of("b", at_start(c2i))): 1.0,
        ratio(of("a", acc_t2), of("b", acc_t2)): 0.5,
        difference(of("a", c2i), scaled(of("b", acc_t2), 0.5)): -0.25,
        largest(of("a", delta), of("b", delta)): 0.5,
        of("a", from_metrics("tokens_mean")): 4.5,
    }
    assert {measure: float(measure(cells)) for measure in measures} == pytest.approx(measures)


def test_calibration_from_counts_is_that_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    rows = [reporting(made_row("full", seed, 0.3), rng) for seed in (0, 1)]
    cells = cell_views(rows)
    for seed, row in enumerate(rows):
        pairs = [pair for name in SETS for pair in parse_reports(row.reports[name]["end"])]
        read = [(right, q) for right, q in pairs if q is not None]
        expected = calibration_metrics([right for right, _ in read], [q for _, q in read])
        assert {name: float(calibrated(name)(cells["full"][seed])) for name in FIGURES} == pytest.approx(expected)


def test_resampled_calibration_is_that_of_each_resample() -> None:
    cells = cell_views([reporting(made_row("full", s, 0.3), np.random.default_rng(s)) for s in (0, 1)])
    seen: list[CellView] = []

    def spy(view: CellView) -> np.ndarray:
        seen.append(view)
        return acc_t1(view)

    interval(of("full", spy), cells, resamples=5)
    resampled = seen[-1]
    for number, (right, q) in enumerate(zip(resampled.correct(), resampled.confidence(), strict=True)):
        read = ~np.isnan(q)
        expected = calibration_metrics(right[read], q[read])
        assert {name: calibrated(name)(resampled)[number] for name in FIGURES} == pytest.approx(expected)


def test_reports_of_which_none_can_be_read_have_no_calibration() -> None:
    row = made_row("full", 0, 0.3)
    cells = cell_views([replace(row, reports={s: {"end": " ".join(["1:-"] * 300)} for s in SETS})])
    assert math.isnan(float(calibrated("ece")(cells["full"][0])))
    assert all(math.isnan(each) for each in interval(of("full", calibrated("auroc")), cells, RESAMPLES))


# the bootstrap


def test_the_bootstrap_is_deterministic_and_paired() -> None:
    rows = made_rows(0.3)
    cells = cell_views(rows)
    once = interval(between("full", "base", delta), cells)
    assert once == interval(between("full", "base", delta), cell_views(rows[::-1]))
    value, low, high = once
    assert low < value < high
    twin = cells | {"base": cells["full"]}
    assert interval(between("full", "base", delta), twin) == (0.0, 0.0, 0.0)


def test_pooled_sets_and_single_ones_are_resampled_alike() -> None:
    rows = made_rows(0.3)
    value, low, high = interval(of("full", acc_t1), cell_views(rows), RESAMPLES)
    assert low <= value <= high
    apart = [interval(of("full", acc_t1), cell_views(rows, (name,)), RESAMPLES) for name in SETS]
    assert all(low <= value <= high for value, low, high in apart)
    assert value == pytest.approx(sum(each[0] for each in apart) / len(SETS))  # of as many problems each


def test_seeds_are_resampled_too() -> None:
    rows = [made_row("full", seed, mended) for seed, mended in enumerate((0.1, 0.5, 0.9))]
    spread = interval(of("full", delta), cell_views(rows))
    alike = interval(of("full", delta), cell_views([replace(rows[1], seed=seed) for seed in (0, 1, 2)]))
    assert spread[2] - spread[1] > 3 * (alike[2] - alike[1])
    tokens = interval(of("full", from_metrics("tokens_mean")), cell_views(rows))
    assert tokens == (5.0, 4.0, 6.0)  # 1/27 of the resamples are of one seed alone, at either end


def test_one_seed_is_resampled_by_problems_alone() -> None:
    cells = cell_views([made_row("full", 5, 0.3)])
    value, low, high = interval(of("full", acc_t1), cells)
    normal = 1.96 * math.sqrt(value * (1 - value) / 600)
    assert (value - low, high - value) == pytest.approx((normal, normal), rel=0.15)
    assert interval(of("full", from_metrics("tokens_mean")), cells) == (9.0, 9.0, 9.0)


def test_arms_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="the same seeds in every arm"):
        interval(between("full", "base", delta), cell_views([made_row("full", 0, 0.3), made_row("base", 1, 0.0)]))
    with pytest.raises(ValueError, match="base-seed1 has problems"):
        cell_views([made_row("full", 0, 0.3), made_row("base", 1, 0.0, n=299)])
    with pytest.raises(ValueError, match="full-seed0 has no set odd"):
        cell_views([made_row("full", 0, 0.3)], ("odd",))


def test_the_interval_covers_a_true_difference_of_binomials() -> None:
    rng = np.random.default_rng(7)
    covered, trials, n = 0, 300, 150
    template = made_row("a", 0, 0.0)
    for _ in range(trials):
        rows = []
        for arm, rate in (("a", 0.7), ("b", 0.5)):
            texts = {"start": "0" * n, "end": outcomes(rng, n, rate, 0.0, 0.0)}
            metrics = {"easy": {"n": float(n)}}
            rows.append(replace(template, arm=arm, outcomes={"easy": texts}, start=metrics, end=metrics))
        _, low, high = interval(between("a", "b", acc_t1), cell_views(rows), RESAMPLES)
        covered += low <= 0.2 <= high
    assert 0.90 <= covered / trials <= 0.985
