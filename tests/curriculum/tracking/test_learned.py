"""Credit for what was learned: of problems that were never practised, to the family, and every rise once."""

import pytest
from candidates import problem
from hypothesis import given
from hypothesis import strategies as st

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.learned import BOOKED, HELD_GROUPS, Held
from store.records import Fate, PassRate, Problem, Proposal, StepHistory

SETTINGS = CurriculumSettings()
GROUPS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 1.0, 2.0]), st.floats(0, 1)), max_size=40)


@given(GROUPS)
def test_what_is_paid_is_what_was_booked_whoever_is_paid_and_however_often(
    steps: list[tuple[bool, float, float]],
) -> None:
    held, paid, begun = Held(), 0.0, 0.0
    for is_paid, groups, share in steps:
        if is_paid:
            paid += BOOKED * held.credit
            held.pay()
        held.observe(groups, share)
        if held.groups < HELD_GROUPS:
            assert held.credit == 0.0
        if held.groups - groups < HELD_GROUPS:
            begun = held.booked - paid  # still moved by what is known of the family, not by pay
        assert held.booked - begun == pytest.approx(paid, abs=1e-9) and -1.0 <= held.credit <= 1.0


def test_a_family_that_rises_has_credit_once() -> None:
    held = Held()
    for _ in range(8):
        held.observe(1.0, 0.25)
    for _ in range(30):
        held.observe(1.0, 0.75)
    assert held.credit == pytest.approx(0.5, abs=0.01)
    paid = []
    for _ in range(20):
        paid.append(BOOKED * held.credit)
        held.pay()
    assert sum(paid) == pytest.approx(0.5, abs=0.01) and held.credit == pytest.approx(0.0, abs=0.01)
    for _ in range(30):
        held.observe(1.0, 0.25)
    assert held.credit == pytest.approx(-0.5, abs=0.01), "what is forgotten is charged"


def posed(step: int, rights: list[int], first: int = 10) -> StepHistory:
    """New two-digit sums that the challenger posed, each with so many of eight tries right."""
    parent = problem("3 + 4")
    new = tuple(problem(f"{first + step} + {10 + 10 * place}", parent.problem_id) for place in range(len(rights)))
    proposals = tuple(
        Proposal(parent.problem_id, 0, place, each.text, Fate.ACCEPTED, each.problem_id, 0.5)
        for place, each in enumerate(new)
    )
    rates = tuple(PassRate(each.problem_id, step, 8, right) for each, right in zip(new, rights, strict=True))
    return StepHistory(step, step, new, proposals, rates)


def begun() -> tuple[Tracker, Problem]:
    tracker, parent = Tracker(SETTINGS), problem("3 + 4")
    tracker.observe(StepHistory(0, 0, (parent,), (), ()))
    return tracker, parent


def test_the_tracker_measures_first_groups_alone_and_books_before_it_measures() -> None:
    tracker, _ = begun()
    for step in range(1, 5):
        tracker.observe(posed(step, [2]))
    assert tracker.credit("dd+dd") == 0.0
    practised = [problem(f"{10 + step} + 10").problem_id for step in range(1, 5)]
    for step in range(5, 9):
        tracker.observe(StepHistory(step, step, (), (), (PassRate(practised[step - 5], step, 8, 8),)))
    assert tracker.credit("dd+dd") == 0.0, "what was practised is not held"
    tracker.observe(posed(9, [6]))
    assert tracker.credit("dd+dd") == pytest.approx((0.75 - 0.25) / 5)
    tracker.observe(posed(10, [6]))  # paid by the credit before it: 0.1
    h = 0.35 + (0.75 - 0.35) / 5
    assert tracker.credit("dd+dd") == pytest.approx(h - (0.25 + BOOKED * 0.1))


def test_a_family_is_booked_once_a_step_and_only_by_what_was_measured() -> None:
    def credit_after(last: StepHistory) -> float:
        tracker, _ = begun()
        for step in range(1, 5):
            tracker.observe(posed(step, [2]))
        tracker.observe(posed(5, [8]))
        assert tracker.credit("dd+dd") > 0
        tracker.observe(last)
        return tracker.credit("dd+dd")

    one, unmeasured = posed(6, [4]), posed(6, [4])
    unmeasured = StepHistory(6, 6, unmeasured.problems, unmeasured.proposals, ())
    two = posed(6, [4, 4])
    silent = StepHistory(6, 6, (), (), ())
    before = credit_after(silent)
    assert credit_after(unmeasured) == before
    h = 0.25 + 0.75 / 5
    assert before == pytest.approx(h - 0.25)
    after_one = h + (0.5 - h) / 5
    assert credit_after(one) == pytest.approx(after_one - 0.25 - BOOKED * before)
    assert credit_after(two) == pytest.approx(after_one + (0.5 - after_one) / 5 - 0.25 - BOOKED * before)
