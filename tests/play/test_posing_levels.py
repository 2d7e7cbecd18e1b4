"""Levels of a domain's own sampler: uniform as a control, or by what they may teach."""

from collections import Counter

from curriculum.domains.protocol import problem_of
from curriculum.domains.sums import SumsDomain
from curriculum.holdout import HeldOut
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from selfplay.play.posing import LevelRule, Poser
from store.records import Origin, PassRate, StepHistory

DOMAIN = SumsDomain(2, 6)


def drawn(successes: dict[int, int], rule: LevelRule) -> Counter[int]:
    """How many new problems of each level are posed in 20 steps, where so many of 64 tries at a level were right."""
    settings = CurriculumSettings()
    tracker = Tracker(settings)
    seeds = [problem_of(each, DOMAIN.name, Origin.SEED) for each in DOMAIN.seeds()]
    tracker.observe(StepHistory(0, 0, tuple(seeds), (), ()))
    rates = [PassRate(each.problem_id, 0, 64, successes[each.level]) for each in seeds if each.level in successes]
    tracker.observe(StepHistory(1, 1, (), (), tuple(rates)))
    poser = Poser(
        DOMAIN, HeldOut(DOMAIN, "key"), tracker, Scheduler(tracker, settings, 0), settings, seed=0, levels=rule
    )
    return Counter(problem.level for step in range(20) for problem in poser.pose_procedurally(step, 16).new)


def test_levels_rise_with_what_is_solved_and_fall_again() -> None:
    started, solved = drawn({2: 32, 3: 2}, "learnable"), drawn({2: 64, 3: 62, 4: 32, 5: 2}, "learnable")
    assert started.most_common(1)[0][0] == 2 and solved.most_common(1)[0][0] == 4
    forgotten = drawn({2: 32, 3: 2, 4: 0, 5: 0}, "learnable")
    assert forgotten.most_common(1)[0][0] == 2 and 2 * forgotten[4] < forgotten[2] and 2 * solved[2] < solved[4]


def test_levels_are_uniform_by_default() -> None:
    counts = drawn({2: 64, 3: 0}, "uniform")
    assert min(counts.values()) > 0.6 * max(counts.values()) and set(counts) == {2, 3, 4, 5, 6}
