"""Calibration figures by hand, and the identities that hold for all answers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from selfplay.lab.pages.picture import draw_reliability
from selfplay.stats.calibration import Bin, auroc, calibration_metrics, reliability_bins

ANSWERS = st.lists(st.tuples(st.booleans(), st.integers(0, 10).map(lambda i: i / 10)), min_size=1, max_size=60)


def split(answers: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [right for right, _ in answers], [q for _, q in answers]


def test_by_hand() -> None:
    found = calibration_metrics([True, True, False, False], [1.0, 0.6, 0.6, 0.0])
    assert found["brier"] == pytest.approx((0.16 + 0.36) / 4)
    assert found["reliability"] == pytest.approx(2 * 0.01 / 4)
    assert found["resolution"] == pytest.approx((0.25 + 0.0 + 0.25) / 4)
    assert found["uncertainty"] == 0.25 and found["distinct"] == 3
    assert found["ece"] == pytest.approx(2 * 0.1 / 4)
    assert found["auroc"] == pytest.approx(3.5 / 4)  # of four pairs three are in order and one is a tie
    assert (found["accuracy"], found["mean_confidence"]) == pytest.approx((0.5, 0.55))


@given(answers=ANSWERS)
def test_brier_is_reliability_less_resolution_and_uncertainty(answers: list[tuple[bool, float]]) -> None:
    found = calibration_metrics(*split(answers))
    assert found["brier"] == pytest.approx(found["reliability"] - found["resolution"] + found["uncertainty"], abs=1e-9)
    assert 0.0 <= found["ece"] <= 1.0 and 0.0 <= found["ece_mass"] <= 1.0


@given(answers=ANSWERS)
def test_auroc_is_the_share_of_pairs_in_order(answers: list[tuple[bool, float]]) -> None:
    right, wrong = [q for c, q in answers if c], [q for c, q in answers if not c]
    pairs = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    assert auroc(*split(answers)) == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.5)


def test_the_two_errors_differ_where_a_bin_of_equal_width_averages_them_away() -> None:
    confidence = [0.9 + i / 100 for i in range(10)]
    found = calibration_metrics([i >= 5 for i in range(10)], confidence)
    assert found["ece"] == pytest.approx(0.945 - 0.5)  # one bin holds all
    assert found["ece_mass"] == pytest.approx((0.92 + 0.03) / 2)  # each answer is its own bin


def test_the_error_is_over_tenths_weighed_by_their_answers() -> None:
    found = calibration_metrics([True, False, False, False], [0.05, 0.15, 0.15, 0.15])
    assert found["ece"] == pytest.approx((0.95 + 3 * 0.15) / 4)


def test_what_is_said_and_true_has_no_error() -> None:
    correct = [True] * 7 + [False] * 3 + [True] * 2 + [False] * 8
    found = calibration_metrics(correct, [0.7] * 10 + [0.2] * 10)
    assert found["ece"] == found["ece_mass"] == found["reliability"] == pytest.approx(0.0, abs=1e-12)


def test_one_confidence_for_all_resolves_nothing() -> None:
    found = calibration_metrics([True, False, True, False], [0.5] * 4)
    assert (found["resolution"], found["distinct"], found["auroc"], found["ece"]) == (0.0, 1.0, 0.5, 0.0)


@given(answers=ANSWERS, equal_mass=st.booleans())
def test_bins_hold_every_answer_once(answers: list[tuple[bool, float]], equal_mass: bool) -> None:
    bins = reliability_bins(*split(answers), equal_mass=equal_mass)
    assert sum(each.n for each in bins) == len(answers)
    assert all(each.low - 1e-9 <= each.confidence <= each.high + 1e-9 for each in bins)
    assert [each.confidence for each in bins] == sorted(each.confidence for each in bins)


def test_edges_belong_to_the_bin_above_and_one_to_the_last() -> None:
    bins = reliability_bins([True, False, True, False], [0.0, 0.5, 0.55, 1.0])
    assert [(each.low, each.high, each.n) for each in bins] == [(0.0, 0.1, 1), (0.5, 0.6, 2), (0.9, 1.0, 1)]
    assert [each.accuracy for each in bins] == [1.0, 0.5, 0.0]
    assert [each.confidence for each in bins] == pytest.approx([0.0, 0.525, 1.0])


def test_equal_values_stay_in_one_bin() -> None:
    bins = reliability_bins([True] * 100, [0.5] * 95 + [0.9] * 5, bins=4, equal_mass=True)
    assert [each.n for each in bins] == [95, 5]
    bins = reliability_bins([True] * 10, [0.1] * 4 + [0.9] * 6, bins=2, equal_mass=True)
    assert [(each.low, each.high, each.n) for each in bins] == [(0.1, 0.1, 4), (0.9, 0.9, 6)]


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="no answers"):
        calibration_metrics([], [])


def test_the_picture_is_written(tmp_path: Path) -> None:
    bins = reliability_bins([True, False, True], [0.9, 0.2, 0.8])
    draw_reliability([("one", bins), ("nothing", [])], tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_the_diagonal_and_how_often_each_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    draw_reliability([("arm", [Bin(0.0, 0.1, 1, 0.05, 0.2), Bin(0.9, 1.0, 9, 0.95, 0.7)])], tmp_path / "unused.png")
    (axis,) = drawn[0].axes
    assert axis.get_title() == "arm"
    assert np.asarray(axis.lines[0].get_xydata()).tolist() == [[0.0, 0.0], [1.0, 1.0]]
    (points,) = axis.collections
    assert isinstance(points, PathCollection)
    assert np.asarray(points.get_offsets()).tolist() == [[0.05, 0.2], [0.95, 0.7]]
    small, large = points.get_sizes()
    assert large > 3 * small
