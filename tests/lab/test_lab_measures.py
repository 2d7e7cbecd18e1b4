"""Measures of cells by hand, and calibration from counts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lab_rows import SETS, made_row, reporting

from selfplay.evaluation.formats import read_reports
from selfplay.lab.verdict.intervals import interval
from selfplay.lab.verdict.measures import (
    FIGURES,
    acc_t1,
    acc_t2,
    at_start,
    between,
    broken_rate,
    c2i,
    calibrated,
    change,
    delta,
    difference,
    from_metrics,
    i2c,
    largest,
    lost,
    mended_rate,
    newly_solved,
    of,
    passed_at,
    passed_curve,
    ratio,
    report_parsed,
    same_share,
    scaled,
    unsolved_at_start,
    wrong_admitted,
)
from selfplay.lab.verdict.parts import on
from selfplay.lab.verdict.views import CellView, NotMeasured, cell_views
from selfplay.stats.calibration import calibration_metrics

PLAIN = [name for name in FIGURES if not name.endswith("_corrected")]

# measures, by hand


def sampled_by_hand() -> CellView:
    """Three problems, 4 samples each: one solved by both, one by the start alone, one by the end alone."""
    row = replace(
        made_row("full", 0, 0.3),
        outcomes={"easy": {"start": "000", "end": "000"}},
        start={"easy": {}}, end={"easy": {}}, series={},
        samples={"easy": {"start": "1/4 2/4 0/4", "end": "4/4 0/4 1/4"}},
    )  # fmt: skip
    return cell_views([row])["full"][0]


def test_pass_at_k_is_the_mean_of_the_unbiased_estimates_and_what_is_new_is_told_from_what_is_lost() -> None:
    view = sampled_by_hand()
    # of two of four samples: 1 of 4 right, 1 - C(3, 2) / C(4, 2) = 1/2; 2 right, 1 - 1/6
    assert passed_at(2)(view) == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert passed_at(2)(view.at("start")) == pytest.approx((1 / 2 + 5 / 6 + 0) / 3)
    assert passed_curve([1, 4])(view) == pytest.approx([(1 + 1 / 4) / 3, 2 / 3])
    assert (newly_solved(view), lost(view), unsolved_at_start(view)) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    left = replace(view, leaves_out=True)
    assert passed_at(2)(left) == pytest.approx([1 / 4, 3 / 4, 1 / 2])
    assert passed_curve([1, 4])(left).shape == (3, 2)
    with pytest.raises(NotMeasured, match="no samples on easy at the end"):
        passed_at(1)(by_hand("easy"))


def test_a_statistic_of_some_sets_reads_these_alone() -> None:
    view = by_hand()
    assert on("hard", acc_t1)(view) == pytest.approx(acc_t1(by_hand("hard")))
    left = on("hard", acc_t1)(replace(view, leaves_out=True))
    alone = acc_t1(replace(by_hand("hard"), leaves_out=True))
    assert left == pytest.approx([1 / 2] * 4 + [*alone])


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
    expected = {
        acc_t1: 3 / 6,
        acc_t2: 4 / 6,
        delta: 1 / 6,
        i2c: 2 / 6,
        c2i: 1 / 6,
        mended_rate: 2 / 3,
        broken_rate: 1 / 3,
    }
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
        pairs = [pair for name in SETS for pair in read_reports(row.reports[name]["end"])]
        read = [(right, q) for right, q in pairs if q is not None]
        expected = calibration_metrics([right for right, _ in read], [q for _, q in read])
        assert {name: float(calibrated(name)(cells["full"][seed])) for name in PLAIN} == pytest.approx(expected)


def test_calibration_with_each_problem_left_out_is_that_of_the_others() -> None:
    view = cell_views([reporting(made_row("full", 0, 0.3), np.random.default_rng(0))])["full"][0]
    left = replace(view, leaves_out=True)
    right, q = view.correct(), view.confidence()
    found = {name: calibrated(name)(left) for name in PLAIN}
    for number in (0, 1, 300, 301, 601):
        others = np.delete(np.arange(len(q)), number)
        read = others[~np.isnan(q[others])]
        expected = calibration_metrics(right[read], q[read])
        assert {name: found[name][number] for name in PLAIN} == pytest.approx(expected)


def test_what_noise_adds_to_the_calibration_error_is_taken_off() -> None:
    """Case 11: of answers that are right as often as they say, and of others that are off by 0.1."""
    rng = np.random.default_rng(11)
    for off, most in ((0.0, 0.035), (0.03, 0.025), (0.1, 0.015)):  # bias that may be left
        plain, corrected = np.zeros(150), np.zeros(150)
        for trial in range(150):
            stated = rng.integers(1, 9, 300) / 10
            right = rng.random(300) < stated + np.where(stated < 0.5, off, -off)
            said = " ".join(f"{c:d}:{q:g}" for c, q in zip(right, stated, strict=True))
            row = replace(made_row("full", 0, 0.3), reports={"easy": {"end": said}})
            view = cell_views([row], ("easy",))["full"][0]
            plain[trial], corrected[trial] = (float(calibrated(name)(view)) for name in ("ece", "ece_corrected"))
        assert abs(corrected.mean() - off) < most
        assert off == 0.1 or plain.mean() - off > 1.5 * (corrected.mean() - off) > 0.0


def test_the_parts_of_the_brier_score_are_less_their_noise() -> None:
    """Case 11: what is stated is true, so reliability is 0, and resolution the variance of what is stated."""
    rng = np.random.default_rng(12)
    found = {name: [] for name in ("reliability", "reliability_corrected", "resolution", "resolution_corrected")}
    for _ in range(200):
        stated = rng.choice([0.2, 0.4, 0.6, 0.8], 60)
        said = " ".join(f"{rng.random() < q:d}:{q:g}" for q in stated)
        view = cell_views([replace(made_row("full", 0, 0.3, n=60), reports={"easy": {"end": said}})], ("easy",))
        for name, values in found.items():
            values.append(float(calibrated(name)(view["full"][0])))
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    assert mean["reliability"] > 0.01 and mean["reliability_corrected"] == pytest.approx(0.0, abs=0.003)
    assert mean["resolution"] > 0.055 and mean["resolution_corrected"] == pytest.approx(0.05, abs=0.004)


def test_reports_of_which_none_can_be_read_have_no_calibration() -> None:
    row = made_row("full", 0, 0.3)
    cells = cell_views([replace(row, reports={s: {"end": " ".join(["1:-"] * 300)} for s in SETS})])
    assert math.isnan(float(calibrated("ece")(cells["full"][0])))
    assert all(math.isnan(each) for each in interval(of("full", calibrated("auroc")), cells))
