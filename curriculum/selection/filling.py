"""How a step's places are divided between new problems and replays, by what either may teach."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from curriculum.selection.admission import Candidate, ranked
from curriculum.selection.quota import within_quota
from curriculum.selection.scheduler import Replay, Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker


@dataclass(frozen=True, slots=True)
class Filled:
    """Every candidate is in `accepted`, the best first, or in `surplus`."""

    accepted: tuple[Candidate, ...]
    surplus: tuple[Candidate, ...]
    replays: tuple[Replay, ...]


def fill(
    step: int,
    num_problems: int,
    candidates: Sequence[Candidate],
    scheduler: Scheduler,
    tracker: Tracker,
    settings: CurriculumSettings,
    rng: random.Random,
) -> Filled:
    """New problems and replays for exactly `num_problems` places; fewer only where neither are left.

    1. New: the promising ones, up to `Scheduler.num_new`; others only until there are `Scheduler.least_new`.
    2. Replays that may teach (`Scheduler.replays`), for the other places.
    3. More new ones, promising or not, for what is still empty: an untried problem may teach, while what was always
       solved, or never, will not.
    4. Any known problems (`Scheduler.last_resort`), once there is nothing new left.

    No family has more than its quota of the new ones (quota.py): what is beyond it is surplus.
    """
    most, least = scheduler.num_new(step, num_problems), scheduler.least_new(num_problems)
    ranking = ranked(candidates, most, tracker, settings, rng)
    ranking, left_out = within_quota(ranking, most, settings.family_quota)
    order = ranking.promising + ranking.others
    num_new = min(len(order), max(least, min(most, len(ranking.promising))))
    replays = scheduler.replays(step, num_problems - num_new, num_problems)
    num_new = min(len(order), num_problems - len(replays))
    replays += _last_resort(step, num_problems - num_new - len(replays), replays, scheduler)
    surplus = sorted((*order[num_new:], *left_out), key=lambda each: (each.group, each.index))
    return Filled(tuple(order[:num_new]), tuple(surplus), tuple(replays))


def fill_up(step: int, count: int, num_problems: int, scheduler: Scheduler) -> list[Replay]:
    """Replays for exactly `count` of a step's `num_problems` places: those that may teach, then any."""
    replays = scheduler.replays(step, count, num_problems)
    return replays + _last_resort(step, count - len(replays), replays, scheduler)


def _last_resort(step: int, count: int, replays: Sequence[Replay], scheduler: Scheduler) -> list[Replay]:
    return scheduler.last_resort(step, count, {each.problem.problem_id for each in replays})
