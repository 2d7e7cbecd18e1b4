"""Forecasts of groups, scored by what came: beta-binomials by hand, and what a run that learns does to them."""

import random
from collections.abc import Iterator

import pytest

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker, moved
from curriculum.tracking.forecasts import Forecast, Scored, scored, scores
from store.records import Origin, PassRate, Problem, StepHistory

SETTINGS = CurriculumSettings(8)


def problem(name: str, family: str) -> Problem:
    return Problem(name, "mine", name, name, family, 1, "0", "executed", Origin.SEED, None)


def test_a_uniform_rate_makes_every_count_as_likely() -> None:
    uniform = Forecast(0.5, 2.0)
    assert uniform.chances(4) == pytest.approx([0.2] * 5)
    assert uniform.signal(4) == pytest.approx(0.6)
    assert uniform.interval(29) == (1, 28), "one of 30 equal chances below, and one above"


def test_a_sure_rate_makes_the_count_binomial() -> None:
    sure = Forecast(0.5, 1e6)
    assert sure.chances(3) == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8], abs=1e-4)
    assert sum(Forecast(0.03, 0.7).chances(32)) == pytest.approx(1.0)


def test_odds_are_multiplied() -> None:
    assert moved(0.5, 3.0) == 0.75
    assert moved(moved(0.2, 2.5), 1 / 2.5) == pytest.approx(0.2)


def test_scores_by_hand() -> None:
    groups = [Scored(1, True, 2, 2, Forecast(0.5, 2.0), Forecast(0.9, 2.0)),
              Scored(1, True, 2, 1, Forecast(0.5, 2.0), Forecast(0.9, 2.0))]  # fmt: skip
    found, plain = scores(groups), scores(groups, "family")
    assert found is not None and plain is not None and scores([]) is None
    assert (found.groups, found.pass_rate, found.foretold, found.brier) == (2, 0.75, 0.5, 0.25)
    assert (found.signal, found.signal_foretold) == (0.5, pytest.approx(1 / 3))
    assert found.signal_brier == pytest.approx((1 / 9 + 4 / 9) / 2)
    assert plain.brier == pytest.approx((3 * 0.01 + 0.81) / 4)


def practised(gain: float, steps: int = 60) -> Iterator[StepHistory]:
    """12 families, two new problems of one in each step; two tried ones are tried again, their odds having grown."""
    rng, rates = random.Random(f"practised/{gain}"), dict[str, float]()
    for step in range(1, steps + 1):
        tried = rng.sample(sorted(rates), min(2, len(rates)))
        for name in tried:
            rates[name] = moved(rates[name], gain)
        posed = [problem(f"{step}.{i}", f"family {step % 12}") for i in range(2)]
        for each in posed:
            rates[each.problem_id] = rng.betavariate(1.0, 1.5)
        measured = tuple(
            PassRate(name, step - 1, 8, sum(rng.random() < rates[name] for _ in range(8)))
            for name in [*tried, *(each.problem_id for each in posed)]
        )
        yield StepHistory(step, step, tuple(posed), (), measured)


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_forecasts_hold_with_practice_and_without(gain: float) -> None:
    groups = list(scored(practised(gain), SETTINGS))
    tried = scores([each for each in groups if not each.is_first and each.step > 10])
    plain = scores([each for each in groups if not each.is_first and each.step > 10], "family")
    assert tried is not None and plain is not None
    assert tried.coverage >= 0.88 and abs(tried.pass_rate - tried.foretold) < 0.1
    assert tried.brier < plain.brier


@pytest.mark.parametrize(("gain", "low", "high"), [(1.0, 0.8, 1.25), (3.0, 2.0, 4.0)])
def test_the_gain_of_practice_is_found(gain: float, low: float, high: float) -> None:
    tracker = Tracker(SETTINGS)
    assert tracker.gain() == 1.0
    for step in practised(gain):
        tracker.observe(step)
    assert low < tracker.gain() < high


def test_forecasts_are_those_that_the_tracker_had_before_the_step() -> None:
    history = list(practised(2.0, steps=20))
    tracker = Tracker(SETTINGS)
    for step in history[:-1]:
        tracker.observe(step)
    last = [each for each in scored(history, SETTINGS) if each.step == 20]
    told = {each.problem_id: tracker.forecast(each) for each in history[-1].problems}
    again = {rate.problem_id: tracker.rate(rate.problem_id) for rate in history[-1].pass_rates[:2]}
    assert {each.beta.mean for each in last if each.is_first} == {mean for mean, _ in told.values()}
    assert {each.beta.mean for each in last if not each.is_first} == set(again.values())
