"""The curriculum's memory: forgetting, posteriors by hand, the state machine, the bank, families, exact rebuilding."""

import random
from collections.abc import Sequence

import pytest
from curriculum_simulation import Simulation
from hypothesis import given
from hypothesis import strategies as st

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.families import FRONTIER_VERSIONS, LevelMemory
from curriculum.tracking.pool import Pool
from curriculum.tracking.posterior import Counts, beta_mean, learnability
from curriculum.tracking.states import Evidence, is_banked, next_state
from store.records import Fate, Origin, PassRate, Problem, ProblemState, Proposal, StepHistory

NEW, ACTIVE, MASTERED = ProblemState.NEW, ProblemState.ACTIVE, ProblemState.MASTERED
TOO_HARD, RETIRED = ProblemState.TOO_HARD, ProblemState.RETIRED


def problem(name: str, family: str = "d+d", level: int = 1, parent_id: str | None = None) -> Problem:
    origin = Origin.CHALLENGER if parent_id else Origin.SEED
    return Problem(name, "arithmetic", name, name, family, level, "0", "executed", origin, parent_id)


def tracker_of(problems: Sequence[Problem], forgetting: float = 1.0, group_size: int = 8, **settings: float) -> Tracker:
    known = CurriculumSettings(group_size, forgetting=forgetting, family_forgetting=forgetting, **settings)  # type: ignore[arg-type]
    tracker = Tracker(known)
    tracker.observe(StepHistory(0, 0, tuple(problems), (), ()))
    return tracker


def measure(
    tracker: Tracker,
    *rates: tuple[str, int, int],
    problems: Sequence[Problem] = (),
    proposals: Sequence[Proposal] = (),
) -> None:
    """One step: (problem_id, attempts, successes) for each."""
    step = tracker.step + 1
    measured = tuple(PassRate(name, step - 1, attempts, successes) for name, attempts, successes in rates)
    tracker.observe(StepHistory(step, step, tuple(problems), tuple(proposals), measured))


def test_beta_mean_and_learnability_by_hand() -> None:
    assert beta_mean(3, 1) == pytest.approx(4 / 6)
    assert beta_mean(0, 0, prior_mean=0.8) == pytest.approx(0.8)
    assert beta_mean(4, 0, prior_mean=0.5, prior_strength=4) == pytest.approx(0.75)
    assert [learnability(rate) for rate in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.75, 1.0, 0.0]


def test_forgotten_counts_by_hand() -> None:
    counts = Counts()
    counts.add(8, 0, version=0, forgetting=0.5)
    counts.add(1, 3, version=2, forgetting=0.5)  # 8/4 + 1
    assert counts.at(2, 0.5) == (3.0, 3.0)
    assert counts.at(3, 0.5) == (1.5, 1.5)
    counts.add(4, 0, version=1, forgetting=0.5)  # came late: worth 4/2
    assert counts.at(2, 0.5) == (5.0, 3.0)


def test_an_untried_problem_has_even_odds() -> None:
    tracker = tracker_of([problem("a")])
    assert tracker.rate("a") == 0.5 and tracker.learnability("a") == pytest.approx(2 / 3)  # p is uniform
    assert tracker.state("a") is NEW and tracker.last_step("a") is None


def test_a_rate_is_shrunk_to_its_familys_by_hand() -> None:
    tracker = tracker_of([problem("a"), problem("b")])
    measure(tracker, ("a", 8, 6))
    level = (1 + 6) / (2 + 8)
    family = (4 * level + 6) / (4 + 8)
    assert tracker.predicted_rate("d+d", 1) == pytest.approx(family)
    assert tracker.rate("a") == pytest.approx((2 * family + 6) / (2 + 8))
    assert tracker.rate("b") == pytest.approx(family)


def test_where_each_problem_is_always_solved_or_never_one_group_says_all() -> None:
    """Case 1: the strength of a family's rate in a problem's is measured: here problems of a family are not alike."""
    split = [problem(f"split{number}") for number in range(40)]
    tracker = tracker_of([*split, problem("x")])
    measure(tracker, *((each.problem_id, 8, 8 * (number % 2)) for number, each in enumerate(split)))
    measure(tracker, ("x", 8, 4))
    assert tracker.predicted_rate("d+d", 1) == pytest.approx(0.5, abs=0.05)
    assert tracker.rate("split0") < 0.02 < 0.98 < tracker.rate("split1"), "with Beta(1, 1) it would be 0.1 and 0.9"
    assert tracker.learnability("split0") < 0.05 < 0.75 < tracker.learnability("x")
    assert tracker.is_promising("x") and not tracker.is_promising("split0")


def test_problems_of_a_family_that_are_alike_borrow_as_much_as_before() -> None:
    alike = [problem(f"alike{number}") for number in range(40)]
    tracker = tracker_of(alike)
    measure(tracker, *((each.problem_id, 8, 4) for each in alike[1:]))
    assert tracker.rate("alike0") == pytest.approx(0.5, abs=0.01)
    measure(tracker, ("alike0", 8, 8))
    assert tracker.rate("alike0") == pytest.approx((2 * tracker.predicted_rate("d+d", 1) + 8) / 10)


def test_what_a_dead_problem_teaches_never_comes_to_more_than_an_untried_one() -> None:
    split = [problem(f"split{number}") for number in range(40)]
    tracker = tracker_of([*split, problem("x")], forgetting=0.9)
    measure(tracker, *((each.problem_id, 8, 8 * (number % 2)) for number, each in enumerate(split)))
    fresh = tracker.learnability("split0")
    for _ in range(60):
        measure(tracker, ("x", 8, 4))
    assert fresh < tracker.learnability("split0") and not tracker.is_promising("split0")


def test_old_observations_are_forgotten_by_policy_version() -> None:
    tracker = tracker_of([problem("a"), problem("b", "dd*dd", 9)], forgetting=0.5)
    measure(tracker, ("a", 8, 0))
    before = tracker.rate("a")
    for _ in range(10):
        measure(tracker, ("b", 8, 4))
    assert before < 0.15 and tracker.rate("a") > 0.45


def test_raw_totals_are_integers_that_never_fade() -> None:
    tracker = tracker_of([problem("a")], forgetting=0.5)
    measure(tracker, ("a", 8, 3))
    measure(tracker, ("a", 16, 4))
    assert tracker.totals("a") == (24, 7)
    assert tracker.last_step("a") == 2 and tracker.staleness("a") == 0


def test_a_step_without_judged_attempts_changes_nothing() -> None:
    tracker = tracker_of([problem("a")])
    measure(tracker, ("a", 0, 0))
    assert tracker.state("a") is NEW and tracker.last_step("a") is None


def evidence(**changes: float) -> Evidence:
    usual = {"groups": 3.0, "observations": 3, "groups_failed": 0.0, "mastered_streak": 0, "newest_rate": 0.5}
    return Evidence(**{**usual, "family_mastered": False, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        (NEW, {"groups": 7 / 8}, NEW),
        (NEW, {"groups": 1.0}, ACTIVE),
        (NEW, {"groups": 2.0, "groups_failed": 2.0}, TOO_HARD),
        (ACTIVE, {"groups_failed": 15 / 8}, ACTIVE),
        (ACTIVE, {"groups_failed": 2.0}, TOO_HARD),
        (TOO_HARD, {"groups_failed": 3.0}, TOO_HARD),
        (TOO_HARD, {"groups_failed": 0.0, "newest_rate": 0.125}, ACTIVE),
        (ACTIVE, {"mastered_streak": 1, "newest_rate": 1.0}, ACTIVE),
        (ACTIVE, {"mastered_streak": 2, "newest_rate": 1.0}, MASTERED),
        (ACTIVE, {"mastered_streak": 2, "newest_rate": 1.0, "family_mastered": True}, MASTERED),
        (ACTIVE, {"mastered_streak": 2, "newest_rate": 1.0, "family_mastered": True, "observations": 4}, RETIRED),
        (MASTERED, {"newest_rate": 0.8}, MASTERED),
        (MASTERED, {"newest_rate": 0.75}, ACTIVE),
        (MASTERED, {"newest_rate": 1.0, "family_mastered": True, "observations": 4}, RETIRED),
        (MASTERED, {"newest_rate": 1.0, "observations": 9}, MASTERED),
        (RETIRED, {"newest_rate": 1.0, "family_mastered": True, "observations": 9}, RETIRED),
        (RETIRED, {"newest_rate": 1.0, "observations": 9}, MASTERED),
        (RETIRED, {"newest_rate": 0.5, "family_mastered": True, "observations": 9}, ACTIVE),
        (MASTERED, {"newest_rate": 0.0, "groups_failed": 2.0}, TOO_HARD),
    ],
)
def test_the_state_machine(state: ProblemState, changes: dict[str, float], expected: ProblemState) -> None:
    assert next_state(state, evidence(**changes)) is expected


def test_a_problem_is_mastered_retired_and_comes_back() -> None:
    tracker = tracker_of([problem("a")])
    seen = []
    for successes in (8, 8, 8, 8, 5):
        measure(tracker, ("a", 8, successes))
        seen.append(tracker.state("a"))
        assert tracker.state_counts()[seen[-1]] == 1 and "a" in tracker.members(seen[-1])
    assert seen == [ACTIVE, MASTERED, MASTERED, RETIRED, ACTIVE]


def test_mastery_takes_two_high_observations_in_a_row() -> None:
    tracker = tracker_of([problem("a")], forgetting=0.3)
    seen = []
    for successes in (32, 32, 16, 32, 32, 32):
        measure(tracker, ("a", 32, successes))
        seen.append(tracker.state("a"))
    assert seen == [ACTIVE, MASTERED, ACTIVE, ACTIVE, ACTIVE, RETIRED]  # its family is mastered by then


def test_a_problem_never_solved_is_too_hard_until_solved() -> None:
    tracker = tracker_of([problem("a")])
    measure(tracker, ("a", 8, 0))
    assert tracker.state("a") is ACTIVE
    measure(tracker, ("a", 8, 0))
    assert tracker.state("a") is TOO_HARD
    measure(tracker, ("a", 8, 1))
    assert tracker.state("a") is ACTIVE


@pytest.mark.parametrize("size", [4, 8, 16])
def test_thresholds_are_said_in_groups(size: int) -> None:
    """What a group of any size shows has the same consequences: they were tuned on groups of 8."""
    tracker = tracker_of([problem("a"), problem("b", "dd+d", 2)], group_size=size)
    measure(tracker, ("a", size - 1, 0), ("b", size, size // 2))
    assert (tracker.state("a"), tracker.state("b"), tracker.frontier()) == (NEW, ACTIVE, 0)
    assert tracker.family("d+d").best_rate == 0.0 < tracker.family("dd+d").best_rate, "one group is evidence"
    measure(tracker, ("a", 1, 0))
    assert tracker.state("a") is ACTIVE
    measure(tracker, ("a", size - 1, 0), ("b", size, size // 2))
    assert (tracker.state("a"), tracker.frontier()) == (ACTIVE, 2)
    measure(tracker, ("a", 1, 0))
    assert (tracker.state("a"), tracker.frontier(), tracker.gapless_level()) == (TOO_HARD, 2, 0)


def test_so_many_successes_are_too_few_in_groups_of_each_size() -> None:
    """An eighth of a group is banked, as one of eight is; `min_successes=1` banks nothing whatever the size."""
    least = {size: CurriculumSettings(size).least_successes for size in (2, 4, 7, 8, 12, 16, 32)}
    assert least == {2: 1, 4: 1, 7: 1, 8: 2, 12: 2, 16: 3, 32: 5}
    assert {CurriculumSettings(size, min_successes=1).least_successes for size in (4, 8, 16)} == {1}
    assert CurriculumSettings(8, min_successes=3).least_successes == 3
    four, sixteen = tracker_of([problem("a")], group_size=4), tracker_of([problem("a")], group_size=16)
    assert not four.banks("a", 1) and sixteen.banks("a", 2) and not sixteen.banks("a", 3)


def test_a_single_success_is_banked_once() -> None:
    tracker = tracker_of([problem("a"), problem("b"), problem("c")])
    measure(tracker, ("a", 8, 1), ("b", 8, 2), ("c", 4, 1))
    assert list(tracker.banked) == ["a", "c"] and tracker.banked_step("a") == 1  # whatever the size of the group
    measure(tracker, ("a", 16, 1))
    assert list(tracker.banked) == ["c"], "what comes out of the bank counts, whatever it shows"


def test_second_look_rates_by_hand() -> None:
    tracker = tracker_of([problem("a"), problem("b")])
    rates = (PassRate("a", 0, 8, 4, kept=3, broken=1, fixed=2, missed=2), PassRate("b", 0, 8, 0, fixed=0, missed=8))
    tracker.observe(StepHistory(1, 1, (), (), rates))
    after_right, after_wrong = (1 + 3) / (2 + 4), (1 + 2) / (2 + 12)
    assert tracker.second_look_rate("unknown", True) == pytest.approx(after_right)
    assert tracker.second_look_rate("unknown", False) == pytest.approx(after_wrong)
    assert tracker.second_look_rate("a", True) == pytest.approx((4 * after_right + 3) / (4 + 4))
    assert tracker.second_look_rate("b", False) == pytest.approx((4 * after_wrong + 0) / (4 + 8))


def test_an_unseen_family_is_predicted_from_its_level_then_from_below() -> None:
    tracker = tracker_of([problem("a", "d+d", 1), problem("b", "dd+d", 2)])
    assert tracker.predicted_rate("d*d", 2) == 0.5
    measure(tracker, ("a", 8, 8), ("b", 8, 4))
    assert tracker.predicted_rate("d*d", 2) == pytest.approx((1 + 4 + 8 / 2) / (2 + 8 + 8 / 2))
    near, far = tracker.predicted_rate("dd+dd", 4), tracker.predicted_rate("dd*dd", 7)
    assert far < near <= 0.5


def test_a_family_of_sure_successes_and_sure_failures_teaches_nothing() -> None:
    tracker = tracker_of([problem("a", "split"), problem("b", "split"), problem("c", "mixed"), problem("d", "mixed")])
    measure(tracker, ("a", 8, 8), ("b", 8, 0), ("c", 8, 4), ("d", 8, 4))
    assert tracker.predicted_rate("split", 1) == tracker.predicted_rate("mixed", 1) == 0.5
    drawn = {
        name: [tracker.drawn_learnability(name, 1, random.Random(seed)) for seed in range(1000)]
        for name in ("split", "mixed")
    }
    assert sum(drawn["split"]) / 1000 == pytest.approx(2.1 / 4.2, abs=0.03)  # the prior counts as two groups
    assert sum(drawn["mixed"]) / 1000 == pytest.approx(4.1 / 4.2, abs=0.03)
    assert all(0.0 <= each <= 1.0 for draws in drawn.values() for each in draws)


def test_the_frontier_is_the_highest_level_half_solved_lately() -> None:
    tracker = tracker_of([problem("a", level=1), problem("b", "dd+dd", 3), problem("c", "dd*d", 4)])
    assert tracker.frontier() == 0
    measure(tracker, ("a", 16, 16), ("b", 8, 8), ("c", 16, 7))
    assert tracker.frontier() == 1  # level 3 has 8 attempts only, level 4 a mean of 8/18
    measure(tracker, ("b", 8, 1))
    assert tracker.frontier() == 3  # (1 + 9) / (2 + 16)
    assert tracker.gapless_level() == 3, "no problem has level 2, so it is no gap"
    measure(tracker, ("a", 400, 0))
    assert (tracker.frontier(), tracker.gapless_level()) == (3, 0)
    measure(tracker, ("a", 1600, 1600))
    for _ in range(20):
        measure(tracker, ("a", 8, 8))
    assert tracker.frontier() == 1  # level 3 was last tried over 20 versions ago
    assert tracker.gapless_level() == 3, "what was reached and is not practised is no gap; level 4 never was"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=80))
def test_a_level_remembers_an_entry_a_version_and_loses_no_group(groups: list[tuple[int, int]]) -> None:
    level = LevelMemory()
    told = [(version, 8, successes) for version, successes in sorted(groups)]
    for each in told:
        level.add(*each, forgetting=0.9, group_size=8)
    now = told[-1][0]
    recent = [(attempts, successes) for version, attempts, successes in told if version > now - FRONTIER_VERSIONS]
    attempts, successes = (sum(column) for column in zip(*recent, strict=True))
    assert level.is_reached(now, group_size=8) == (attempts >= 16 and 2 * (successes + 1) >= attempts + 2)
    assert len(level.recent) == len({version for version, _, _ in told if version > now - FRONTIER_VERSIONS})


def test_a_family_that_drops_or_goes_stale_is_at_risk() -> None:
    tracker = tracker_of([problem("a"), problem("b", "d*d", 2), problem("c", "dd*dd", 7)], forgetting=0.9)
    for _ in range(4):
        measure(tracker, ("a", 8, 8), ("b", 8, 8), ("c", 8, 1))
    fresh = tracker.family("d*d").risk
    assert tracker.family("d*d").mastered and fresh < 0.1
    for _ in range(4):
        measure(tracker, ("a", 8, 8), ("c", 8, 1))
    stale = tracker.family("d*d").risk
    assert stale > fresh + 0.05 and tracker.family("d+d").risk < stale
    measure(tracker, ("b", 8, 2))
    assert tracker.family("d*d").risk > stale and not tracker.family("d*d").mastered
    assert tracker.family("dd*dd").risk == 0.0  # what was never known cannot be forgotten


@pytest.mark.parametrize("known_rate", [0.3, 0.7])
def test_a_family_is_at_risk_from_its_known_rate_on(known_rate: float) -> None:
    tracker = tracker_of([problem("a")], known_rate=known_rate)
    measure(tracker, ("a", 40, 20))
    measure(tracker, ("a", 40, 0))
    assert (tracker.family("d+d").risk > 0) == (known_rate == 0.3)
    assert [family for family, _ in tracker.families_at_risk()] == ["d+d"] * (known_rate == 0.3)


def proposed(parent_id: str, fate: Fate, problem_id: str | None = None) -> Proposal:
    return Proposal(parent_id, 0, 0, "", fate, problem_id, None)


def child_value(tracker: Tracker, family: str) -> tuple[float, float]:
    values, num_proposals = tracker.child_values()
    place = tracker.family_names().index(family)
    return float(values[place]), float(num_proposals[place])


def test_what_escalation_paid_is_credited_to_the_parents_family() -> None:
    tracker = tracker_of([problem("a"), problem("b", "d*d", 2)])
    children = [problem("x", "dd+d", 2, parent_id="a"), problem("y", "dd*d", 4, parent_id="b")]
    measure(tracker, ("x", 8, 4), ("y", 8, 0), problems=children)
    assert child_value(tracker, "d+d") == pytest.approx(
        (1 / 2 * 2 / 3, 0.0)
    )  # no proposal; one child of learnability 1
    assert child_value(tracker, "d*d") == pytest.approx((1 / 2 * 1 / 3, 0.0))
    measure(tracker, ("x", 8, 0))
    assert child_value(tracker, "d+d") == pytest.approx((1 / 2 * 2 / 3, 0.0))  # a replay of it is no news of the parent


def test_a_family_is_worth_asking_for_what_is_taken_and_what_could_have_been() -> None:
    tracker = tracker_of([problem("a"), problem("b", "d*d", 2)])
    fates = [Fate.ACCEPTED, Fate.SURPLUS, Fate.SURPLUS]
    rejected = [Fate.DUPLICATE, Fate.INVALID, Fate.HELD_OUT]
    said = [proposed("a", fate) for fate in fates] + [proposed("b", fate) for fate in rejected]
    measure(tracker, proposals=said)
    assert child_value(tracker, "d+d") == pytest.approx((4 / 5 * 1 / 2, 3.0))  # Beta(1, 1), three of three
    assert child_value(tracker, "d*d") == pytest.approx((1 / 5 * 1 / 2, 3.0))


def test_unseen_mass_falls_as_what_is_posed_in_a_family_is_known_already() -> None:
    tracker = tracker_of([problem("a"), problem("b", "d*d", 2)])
    assert tracker.unseen_mass("d+d") == tracker.unseen_mass("never") == 0.5
    new = problem("x", "d+d", parent_id="b")  # counted where it falls, whatever it was escalated from
    measure(tracker, problems=[new], proposals=[proposed("b", Fate.ACCEPTED, "x")])
    assert tracker.unseen_mass("d+d") == pytest.approx(2 / 3) and tracker.unseen_mass("d*d") == 0.5
    measure(tracker, proposals=[proposed("b", Fate.DUPLICATE, "a")] * 3 + [proposed("b", Fate.DUPLICATE, None)])
    assert tracker.unseen_mass("d+d") == pytest.approx(2 / 6)


def test_the_level_discount_halves_with_every_level_above_the_gapless_one() -> None:
    tracker = tracker_of([problem("a"), problem("b", "dd+d", 2)])
    measure(tracker, ("a", 40, 30), ("b", 40, 4))
    assert tracker.gapless_level() == 1
    assert [tracker.level_discount(level) for level in (1, 2, 4)] == [1.0, 0.5, 0.125]


def test_a_discount_of_one_welcomes_jumps() -> None:
    tracker = tracker_of([problem("a"), problem("b", "dd+d", 2)], level_discount=1.0)
    measure(tracker, ("a", 40, 30), ("b", 40, 4))
    assert [tracker.level_discount(level) for level in (1, 2, 4)] == [1.0, 1.0, 1.0]


def test_signal_shares_of_new_problems_and_replays_are_kept_apart() -> None:
    tracker = tracker_of([problem("a")])
    measure(tracker, ("a", 8, 8), ("x", 8, 4), problems=[problem("x", parent_id="a")])
    assert tracker.signal_rate(of_new=True) == pytest.approx(2 / 3)
    assert tracker.signal_rate(of_new=False) == pytest.approx(1 / 3)


def test_steps_must_come_in_order_and_once() -> None:
    tracker = tracker_of([problem("a")])
    measure(tracker, ("a", 8, 8))
    with pytest.raises(ValueError, match="step 1 was observed after step 1"):
        tracker.observe(StepHistory(1, 1, (), (), ()))
    with pytest.raises(ValueError, match="admitted twice"):
        measure(tracker, problems=[problem("a")])


def snapshot(tracker: Tracker) -> list[object]:
    """Every number that a decision may read, exactly."""
    rows: list[object] = [tracker.step, tracker.version, tracker.frontier(), tracker.families()]
    rows += [tracker.signal_rate(True), tracker.signal_rate(False)]
    rows += [column.tolist() for column in tracker.child_values()]
    rows += [tracker.unseen_mass(each.family) for each in tracker.families()]
    rows += [list(tracker.members(state)) for state in ProblemState]
    for name in tracker.problem_ids():
        looks = tracker.second_look_rate(name, True), tracker.second_look_rate(name, False)
        rows.append((name, tracker.rate(name), tracker.totals(name), tracker.state(name), looks))
    return rows


def test_rebuilding_from_history_is_bit_identical_to_keeping_it() -> None:
    simulation = Simulation(seed=3)
    simulation.run(25)
    rebuilt = Tracker(simulation.settings)
    for step in simulation.history:
        rng = random.Random(step.step)  # a store may return the rows of a step in any order
        problems, rates = list(step.problems), list(step.pass_rates)
        rng.shuffle(problems)
        rng.shuffle(rates)
        rebuilt.observe(StepHistory(step.step, step.policy_version, tuple(problems), (), tuple(rates)))
    assert snapshot(rebuilt) == snapshot(simulation.tracker)


def test_reading_leaves_no_trace() -> None:
    read, unread = Simulation(seed=4), Simulation(seed=4)
    snapshots: list[object] = []
    read.run(10, watch=lambda simulation: snapshots.append(snapshot(simulation.tracker)))
    unread.run(10)
    assert snapshot(read.tracker) == snapshot(unread.tracker)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"))))
def test_a_pool_is_an_ordered_set(changes: list[tuple[bool, str]]) -> None:
    pool, expected = Pool(), set[str]()
    for is_added, item in changes:
        (pool.add if is_added else pool.discard)(item)
        (expected.add if is_added else expected.discard)(item)
        assert len(pool) == len(expected) and set(pool) == expected == {each for each in "abcdefgh" if each in pool}
    drawn = pool.sample(random.Random(0), 3)
    assert len(drawn) == len(set(drawn)) == min(3, len(expected)) and set(drawn) <= expected


@pytest.mark.parametrize(
    ("successes", "is_retry", "expected"),
    [(0, False, False), (1, False, True), (2, False, False), (8, False, False), (1, True, False)],
)
def test_a_lone_success_is_banked_until_it_is_tried_again(successes: int, is_retry: bool, expected: bool) -> None:
    assert is_banked(successes, least_successes=2, is_retry=is_retry) is expected


def test_a_minimum_of_one_banks_nothing() -> None:
    assert not is_banked(1, least_successes=1, is_retry=False)
