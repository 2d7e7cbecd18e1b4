"""What evaluations store of each problem, written and read back, by hand."""

import math

import pytest

from selfplay.evaluation.formats import (
    SearchedProblem,
    gained_and_lost,
    outcomes_text,
    paired_change,
    read_outcomes,
    read_reports,
    read_searches,
    reports_text,
    searches_text,
)
from selfplay.stats.intervals import paired_interval


def test_outcomes_there_and_back() -> None:
    pairs = [(False, False), (False, True), (True, False), (True, True)]
    assert outcomes_text(pairs) == "0123"
    assert read_outcomes("0123") == pairs
    for text in ("4", "01 2", "0x"):
        with pytest.raises(ValueError, match="digits from 0 to 3"):
            read_outcomes(text)


def test_reports_there_and_back_and_read_strictly() -> None:
    reports = [(True, 0.7), (False, None), (False, 1e-5)]
    assert reports_text(reports) == "1:0.7 0:- 0:1e-05"
    assert read_reports(reports_text(reports)) == reports
    for text in ("1:1.2", "2:0.5", "1:nan", "1:", "1:.e"):
        with pytest.raises(ValueError):
            read_reports(text)


def test_searches_there_and_back_and_read_strictly() -> None:
    never = math.inf
    problems = [SearchedProblem(34, 7, never, never, False), SearchedProblem(never, never, 0, 0, True)]
    assert searches_text(problems) == "34/7/-/-/0 -/-/0/0/1"
    assert read_searches(searches_text(problems)) == problems
    for text in ("34/7/-/-/2", "34/7/-/-", "34/-/-/-/0", "-/7/9/2/0", "3.5/7/-/-/0", "-3/7/-/-/0", "34/7/-/-/0/", "x"):
        with pytest.raises(ValueError, match=f"'{text}' is no search"):
            read_searches(f"34/7/-/-/0 {text}")


def test_paired_change_by_hand() -> None:
    before, after = "01230", "23031"
    assert gained_and_lost(before, after, turn=0) == (2, 1)
    assert paired_change(before, after, turn=0) == paired_interval(2, 1, 5)
    assert paired_change(before, after, turn=1) == paired_interval(1, 0, 5)


def test_only_the_same_problems_are_paired() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_change("012", "01", turn=0)
