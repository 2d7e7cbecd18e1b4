"""Which problems become probes, and that they are posed no more."""

from collections import Counter
from dataclasses import replace

from curriculum.selection.probes import MAX_SHARE, ProbeSets
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Origin, PassRate, Probe, ProbeKind, Problem, StepHistory

SEEDS = tuple(
    Problem(f"s{i:03}", "d", f"{i}", f"{i}", f"f{i % 4}", 1 + i % 3, "0", "seed", Origin.SEED) for i in range(40)
)


def tracked(*steps: tuple[PassRate, ...]) -> Tracker:
    """A tracker that has seen the seeds and some steps."""
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, SEEDS, (), ()))
    for step, rates in enumerate(steps, 1):
        tracker.observe(StepHistory(step, step, (), (), rates))
    return tracker


def measured(*successes: int) -> tuple[PassRate, ...]:
    """Of the first seeds, of 8 attempts each."""
    return tuple(PassRate(SEEDS[i].problem_id, 0, 8, k) for i, k in enumerate(successes))


def test_the_hardest_that_was_failed_and_the_easiest_that_was_solved() -> None:
    rates = measured(3, 1, 5, 7, 4)
    found = ProbeSets(8, 1, 0).taken(1, rates, tracked(rates))
    assert found == (Probe("s001", ProbeKind.HARD, 1 / 8), Probe("s003", ProbeKind.EASY, 7 / 8))


def test_of_equal_rates_the_one_that_is_foretold_lower_or_higher() -> None:
    before, now = measured(0, 8, 8, 0), measured(0, 0, 8, 8)
    found = ProbeSets(8, 1, 0).taken(2, now, tracked(before, now))
    assert [each.problem_id for each in found] == ["s000", "s002"]


def test_a_step_in_which_all_was_solved_has_no_hard_probe_and_some_steps_take_none() -> None:
    rates = measured(8, 7)
    sets, tracker = ProbeSets(8, 2, 0), tracked(rates)
    assert [each.kind for each in sets.taken(2, rates, tracker)] == [ProbeKind.EASY]
    assert sets.taken(1, rates, tracker) == () == ProbeSets(0, 1, 0).taken(2, rates, tracker)
    assert sets.taken(2, (), tracker) == ()


def test_sets_are_bounded_and_a_uniform_sample_of_all_times() -> None:
    """Of 40 probes that might be taken one by one, 10 stay; over many seeds each stays about as often."""
    stayed: Counter[str] = Counter()
    for seed in range(400):
        sets = ProbeSets(10, 1, seed)
        for step, problem in enumerate(SEEDS, 1):
            probe = Probe(problem.problem_id, ProbeKind.HARD, 0.0)
            if sets._enters(probe):
                sets.add([probe])
            assert len(sets.of(ProbeKind.HARD)) == min(step, 10) == len(sets.withheld)
        stayed.update(sets.withheld)
    assert len(stayed) == 40
    assert min(stayed.values()) > 60 and max(stayed.values()) < 145  # 100 +- 8.7, and 40 of them are looked at


def test_what_was_stored_gives_the_same_sets_again() -> None:
    sets, taken = ProbeSets(4, 1, 7), []
    for step, problem in enumerate(SEEDS, 1):
        probe = Probe(problem.problem_id, ProbeKind.EASY if step % 2 else ProbeKind.HARD, 0.5)
        if sets._enters(probe):
            sets.add([probe])
            taken.append(probe)
    again = ProbeSets(4, 1, 7)
    again.add(taken)
    assert (again.of(ProbeKind.HARD), again.of(ProbeKind.EASY)) == (sets.of(ProbeKind.HARD), sets.of(ProbeKind.EASY))
    assert again.withheld == sets.withheld


def test_a_run_of_few_problems_keeps_most_to_practise() -> None:
    tracker, sets = tracked(), ProbeSets(100, 1, 0)
    for first in range(0, 40, 2):
        rates = tuple(PassRate(SEEDS[first + i].problem_id, 0, 8, 8 * i) for i in (0, 1))
        sets.add(sets.taken(1, rates, tracker))
    assert len(sets.withheld) == MAX_SHARE * 40


def test_a_probe_is_neither_practised_nor_a_parent() -> None:
    rates = tuple(replace(each, successes=4) for each in measured(*[4] * 40))
    tracker, withheld = tracked(rates), {f"s{i:03}" for i in range(0, 40, 3)}
    without, freely = (Scheduler(tracker, tracker.settings, 0, held) for held in (withheld, set[str]()))

    def posed(scheduler: Scheduler) -> set[str]:
        found = [each.problem for each in scheduler.replays(2, 30, 30)] + scheduler.parents(2, 30)
        found += [each.problem for each in scheduler.last_resort(2, 40, ())]
        return {each.problem_id for each in found}

    assert posed(freely) & withheld, "or the test would say nothing"
    assert posed(without) == {each.problem_id for each in SEEDS} - withheld


def test_without_other_seeds_a_withheld_one_is_still_no_parent() -> None:
    tracker = tracked(measured(*[0] * 40))
    scheduler = Scheduler(tracker, tracker.settings, 0, {each.problem_id for each in SEEDS[1:]})
    assert {each.problem_id for each in scheduler.parents(1, 4)} == {"s000"}
