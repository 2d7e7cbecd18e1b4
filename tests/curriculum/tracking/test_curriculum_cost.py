"""Case 2: what is worked out for all families and levels at once is the plain formula, at near linear cost."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.selection.drawing import Urn
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.families import FRONTIER_GROUPS, Families
from curriculum.tracking.posterior import beta_mean
from store.records import Origin, PassRate, Problem, StepHistory

FORGETTING, CHILD_FORGETTING = 0.9, 0.97
GROUP_SIZE = 8
SETTINGS = CurriculumSettings(GROUP_SIZE, forgetting=CHILD_FORGETTING, family_forgetting=FORGETTING)


@dataclass
class Plain:
    """The definitions, without memory of what was worked out before: all sums over all that happened."""

    seen: list[tuple[int, int, int, int]]  # level, version, attempts, successes

    def around(self, level: int, version: int) -> tuple[float, float]:
        weights = {level - 1: 0.5, level: 1.0, level + 1: 0.5}
        found = [(weights.get(at, 0.0) * FORGETTING ** (version - v), n, k) for at, v, n, k in self.seen]
        return sum(w * k for w, n, k in found), sum(w * (n - k) for w, n, k in found)

    def level_rate(self, level: int, version: int) -> float:
        hits, misses = self.around(level, version)
        if hits + misses >= 1.0:
            return beta_mean(hits, misses)
        below = max((at for at, *_ in self.seen if at < level - 1), default=None)
        if below is None:
            return 0.5
        return min(0.5, self.level_rate(below, version) * 0.7 ** (level - below))

    def is_reached(self, level: int, version: int) -> bool:
        attempts, successes = self.lately(level, version)
        return attempts >= FRONTIER_GROUPS * GROUP_SIZE and 2 * (successes + 1) >= attempts + 2

    def lately(self, level: int, version: int) -> tuple[int, int]:
        found = [(n, k) for at, v, n, k in self.seen if at == level and version - 20 < v <= version]
        return sum(n for n, _ in found), sum(k for _, k in found)

    def gapless_level(self, version: int) -> int:
        levels = sorted({at for at, *_ in self.seen})
        for level in levels:
            was_reached = any(
                self.prefix(i).is_reached(level, v) for i, (at, v, *_) in enumerate(self.seen, 1) if at == level
            )
            is_unpractised = self.lately(level, version)[0] < FRONTIER_GROUPS * GROUP_SIZE
            if not self.is_reached(level, version) and not (was_reached and is_unpractised):
                return level - 1
        return levels[-1] if levels else 0

    def prefix(self, count: int) -> "Plain":
        return Plain(self.seen[:count])


OBSERVED = st.lists(
    st.tuples(
        st.integers(1, 12).map(lambda each: each * each), st.integers(0, 3), st.sampled_from([8, 16]), st.floats(0, 1)
    ),
    max_size=25,
)


def folded(observed: list[tuple[int, int, int, float]]) -> tuple[Families, Plain, int]:
    """Read after every observation, so that what is kept from before has its chance to be wrong."""
    families, plain, version = Families(SETTINGS), Plain([]), 0
    for number, (level, passed, attempts, share) in enumerate(observed):
        version += passed
        family, successes = f"family{level}", round(share * attempts)
        families.enrol(family, level, f"p{number}")
        families.observe(family, level, version, version, attempts, successes, is_first=True)
        families.observe_fate(family, successes % 2 == 0, version)
        families.observe_child(family, share, version)
        plain.seen.append((level, version, attempts, successes))
        families.gapless_level(version)
        families.level_discounts(version)
        families.rate("unseen", level + 5, version)
    return families, plain, version


@settings(deadline=None, max_examples=60)
@given(OBSERVED, st.integers(0, 40))
def test_levels_are_the_plain_definitions(observed: list[tuple[int, int, int, float]], later: int) -> None:
    families, plain, version = folded(observed)
    version += later
    for level in (1, 2, 3, 5, 10, 40, 90, 144, 300):
        expected = beta_mean(0.0, 0.0, plain.level_rate(level, version))
        assert families.rate("unseen", level, version) == pytest.approx(expected, rel=1e-9)
    assert families.gapless_level(version) == plain.gapless_level(version)
    reached = {level for level, *_ in plain.seen if plain.is_reached(level, version)}
    assert families.frontier(version) == max(reached, default=0)


def plain_child_value(families: Families, name: str, version: int) -> tuple[float, float]:
    memory = families.state_of_fold()["families"][name]
    valid, rejected = memory.fates.at(version, CHILD_FORGETTING)
    return beta_mean(valid, rejected) * beta_mean(*memory.children.at(version, CHILD_FORGETTING)), valid + rejected


@settings(deadline=None, max_examples=60)
@given(OBSERVED, st.integers(0, 40))
def test_columns_are_each_familys_own_numbers_bit_for_bit(
    observed: list[tuple[int, int, int, float]], later: int
) -> None:
    families, _, version = folded(observed)
    version += later
    names = families.names()
    values, counts = families.child_values(version)
    near = families.level_discounts(version)
    for place, name in enumerate(names):
        assert (values[place], counts[place]) == plain_child_value(families, name, version)
        assert near[place] == families.level_discount(families.summary(name, version, version).level, version)
    risks = {name: families.summary(name, version, version).risk for name in names}
    assert dict(families.at_risk(version, version)) == {name: risk for name, risk in risks.items() if risk > 0}


def test_an_urn_draws_in_proportion_from_what_is_open() -> None:
    rng = random.Random(0)
    urn = Urn(np.array([1.0, 2.0, 0.0, 1.0]))
    drawn = [urn.draw(rng) for _ in range(4000)]
    assert drawn.count(1) / 4000 == pytest.approx(0.5, abs=0.03) and 2 not in drawn
    urn.close(1)
    drawn = [urn.draw(rng) for _ in range(4000)]
    assert drawn.count(0) / 4000 == pytest.approx(0.5, abs=0.03) and set(drawn) == {0, 3}
    urn.close(0)
    urn.close(3)
    assert urn.draw(rng) is None and Urn(np.zeros(0)).draw(rng) is None


def scheduler_of(num_families: int, num_levels: int, level_step: int = 1) -> Scheduler:
    """One problem a family, half of them dead, all known."""
    problems = tuple(
        Problem(
            f"p{n}",
            "d",
            f"text {n}",
            f"p{n}",
            f"f{n}",
            1 + level_step * (n % num_levels),
            "0",
            "executed",
            Origin.SEED,
            None,
        )
        for n in range(num_families)
    )
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, problems, (), ()))
    measured = tuple(PassRate(each.problem_id, 0, 16, (0, 16, 9, 13)[n % 4]) for n, each in enumerate(problems))
    tracker.observe(StepHistory(1, 1, (), (), measured))
    return Scheduler(tracker, CurriculumSettings(), seed=0)


def cost_of_a_step(scheduler: Scheduler, tracker_problem: str = "p1") -> float:
    """CPU seconds, the least of a few steps in which one family changes."""
    tracker, best = scheduler._tracker, 1e9
    for _ in range(5):
        step = tracker.step + 1
        started = time.process_time()
        scheduler.parents(step, 8)
        scheduler.replays(step, 12, 24)
        tracker.observe(StepHistory(step, step, (), (), (PassRate(tracker_problem, step - 1, 8, 5),)))
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize(
    "make", [lambda size: scheduler_of(size, size), lambda size: scheduler_of(4 * size, 4)], ids=["levels", "families"]
)
def test_twice_the_size_costs_no_more_than_three_times(make: Callable[[int], Scheduler]) -> None:
    small, large = cost_of_a_step(make(1500)), cost_of_a_step(make(3000))
    assert large < 3 * small + 0.002, (small, large)


def test_levels_far_apart_are_no_trouble() -> None:
    """3,000 levels without evidence of late, and levels beyond what floats can hold."""
    scheduler = scheduler_of(3000, 3000, level_step=2)
    tracker = scheduler._tracker
    for step in range(2, 60):
        tracker.observe(StepHistory(step, step, (), (), ()))
    assert 0.0 <= tracker.predicted_rate("new", 10_000) <= 0.5
    assert tracker.predicted_rate("new", 10**400) >= 0.0
    assert tracker.level_discount(10**400) > 0.0
    assert len(scheduler.parents(60, 8)) == 8
    far = Problem("far", "d", "far", "far", "far", 10**400, "0", "executed", Origin.SEED, None)
    alone = Tracker(CurriculumSettings())
    alone.observe(StepHistory(0, 0, (far,), (), ()))
    assert Scheduler(alone, CurriculumSettings(), seed=0).parents(1, 2) == [far, far]
