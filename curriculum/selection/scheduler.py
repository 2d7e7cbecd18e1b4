"""What to pose next: parents to escalate, how many new problems to take, and which known ones to practise again.

Pure: a function of the tracker, the seed and the step. It never sees the names or members of evaluation sets, no
model and no clock. Each draw looks at no more than `max_candidates` problems, so its work does not grow with the store.
Left out: rank-based replay (PLR's 1/rank): learnability is bounded, so its value is used as it is.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from curriculum.selection.drawing import Urn, shares, weighted_sample
from curriculum.selection.novelty import archive_of, crowding
from curriculum.settings import CurriculumSettings
from curriculum.tracking.columns import Floats
from curriculum.tracking.difficulty import Tracker
from store.records import Problem, ProblemState

SHARPNESS = 2  # a group of 8 is mixed almost surely at p = 1/2 and half the time at p = 0.9: prefer the middle
_FAMILY_MEMBERS = 64  # of one family looked at per draw
_BANK_SHARE = 0.125  # of a step's replays
_REPROBE_RATE = 0.25  # a family at this rate deserves another look at what was too hard in it
_UNTRIED_BONUS = 0.5  # how much a parent family of which nothing was measured yet is preferred to an average one
_PRACTISED = (ProblemState.ACTIVE, ProblemState.NEW)
_LAST_RESORT = (ProblemState.MASTERED, ProblemState.RETIRED, ProblemState.TOO_HARD)


@dataclass(frozen=True, slots=True)
class Replay:
    """A known problem to attempt again, with `group_multiplier` times the usual number of attempts."""

    problem: Problem
    group_multiplier: int = 1


class Scheduler:
    """Reads the tracker as it stands before `step`."""

    def __init__(self, tracker: Tracker, settings: CurriculumSettings, seed: int) -> None:
        self._tracker = tracker
        self._settings = settings
        self._seed = seed

    def parents(self, step: int, num_parents: int) -> list[Problem]:
        """Parents to escalate, exactly `num_parents` while any problem is known; repeated only if there are too few.
        Where nothing is solvable the seeds are.

        Families are drawn by what their children were worth of late, parents in a family by their pass rate:
        what is solved more often than not. No family gives more than `max_family_share`, unless places stay empty.
        """
        rng = self._generator(step, "targets")  # the key of runs so far: another draws other parents
        names, weights = self._tracker.family_names(), self._family_values()
        left: dict[int, list[str]] = {}  # of each family looked at, by its place in `names`
        chosen: list[str] = []
        taken: Counter[int] = Counter()
        for cap in (max(1, math.ceil(num_parents * self._settings.max_family_share)), num_parents):
            urn = Urn(weights)
            for place, ids in left.items():
                if not ids:
                    urn.close(place)
            while len(chosen) < num_parents and (drawn := urn.draw(rng)) is not None:
                if drawn not in left:
                    left[drawn] = self._parents(rng, names[drawn])
                if left[drawn] and taken[drawn] < cap:
                    chosen.append(left[drawn].pop())
                    taken[drawn] += 1
                else:
                    urn.close(drawn)
        if not chosen:
            chosen = list(self._tracker.seeds)
            rng.shuffle(chosen)
        repeated = [chosen[place % len(chosen)] for place in range(num_parents)] if chosen else []
        return [self._tracker.problem(problem_id) for problem_id in repeated]

    def num_new(self, step: int, num_problems: int) -> int:
        """How many of the step's problems are to be new, between the configured shares: the more, the better the
        recent share of new problems' groups with a signal is beside that of replays."""
        new, replayed = self._tracker.signal_rate(of_new=True), self._tracker.signal_rate(of_new=False)
        low, high = self._settings.min_new_share, self._settings.max_new_share
        return round(num_problems * (low + (high - low) * new / (new + replayed)))

    def least_new(self, num_problems: int) -> int:
        """How many of the step's problems are to be new whatever they promise, if there are so many."""
        return round(num_problems * self._settings.min_new_share)

    def replays(self, step: int, count: int, num_problems: int) -> list[Replay]:
        """At most `count` different known problems that may teach something or be forgotten.

        First what is due from the bank, then families at risk of being forgotten, then the solvable band by
        learnability and staleness.
        """
        rng = self._generator(step, "replays")
        used: set[str] = set()  # membership only
        replays: list[Replay] = []

        def take(problem_ids: Sequence[str], multiplier: int = 1) -> None:
            for problem_id in problem_ids:
                if len(replays) < count and problem_id not in used:
                    used.add(problem_id)
                    replays.append(Replay(self._tracker.problem(problem_id), multiplier))

        take(self._due_from_bank(step, math.ceil(count * _BANK_SHARE)), multiplier=2)
        banked = set(self._tracker.banked)  # what is not due yet waits for its larger group
        take(self._rehearsals(rng, num_problems, used | banked))
        take(self._worth_reprobing(rng, step, used))
        take(self._practice(rng, count - len(replays), used | banked))
        return replays

    def last_resort(self, step: int, count: int, exclude: Collection[str]) -> list[Replay]:
        """Exactly `count` different known problems outside `exclude`, whatever there is, the least learned first; fewer
        only when there are no more."""
        ids = self._last_resort(self._generator(step, "last resort"), count, exclude)
        return [Replay(self._tracker.problem(problem_id)) for problem_id in ids]

    def _generator(self, step: int, purpose: str) -> random.Random:
        return random.Random(f"{self._seed}/scheduler/{step}/{purpose}")

    def _parents(self, rng: random.Random, family: str) -> list[str]:
        """The family's possible parents, the first to take last: in proportion to the square of their pass rate, the
        less often the more proposals they gave (a parent asked again says much the same again), and the less often
        the more problems are like them: the challenger stays near its parent, so a crowd would only grow."""
        members = self._tracker.family_members(family)
        ids = [
            problem_id
            for problem_id in members.sample(rng, _FAMILY_MEMBERS)
            if self._tracker.rate(problem_id) >= self._settings.parent_low
            and self._tracker.state(problem_id) is not ProblemState.TOO_HARD
        ]
        texts = [self._tracker.problem(problem_id).text for problem_id in ids]
        weights = [
            self._tracker.rate(problem_id) ** 2 / ((1 + self._tracker.escalations(problem_id)) * (1 + near))
            for problem_id, near in zip(ids, crowding(texts, archive_of(family, self._tracker, rng)), strict=True)
        ]
        return weighted_sample(rng, ids, weights, len(ids))[::-1]

    def _family_values(self) -> Floats:
        """> 0: the square of what a family's children are worth, with a bonus that fades as it is asked, times how near
        it is: what is escalated from beyond reach lies beyond reach too."""
        value, num_proposals = self._tracker.child_values()
        value += _UNTRIED_BONUS / (1.0 + num_proposals)
        return (value * self._tracker.nearness_of_all()) ** 2  # type: ignore[no-any-return]

    def _due_from_bank(self, step: int, limit: int) -> list[str]:
        """The longest banked first."""
        due: list[tuple[int, str]] = []
        for problem_id in self._tracker.banked:
            banked = self._tracker.banked_step(problem_id)
            if banked is not None and step - banked >= self._settings.bank_delay:
                due.append((banked, problem_id))
        return [problem_id for _, problem_id in sorted(due)[:limit]]

    def _rehearsals(self, rng: random.Random, num_problems: int, used: Collection[str]) -> list[str]:
        """A share of the whole step, from families once known, in proportion to their risk; in a family what is stale
        or shaky comes first."""
        known = self._tracker.families_at_risk()
        if not known:
            return []
        share = self._settings.mastered_share * (0.5 + max(risk for _, risk in known))
        places = round(num_problems * share)
        chosen: list[str] = []
        for family, num_wanted in _apportioned(rng, known, places):
            ids = [
                problem_id
                for problem_id in self._tracker.family_members(family).sample(rng, _FAMILY_MEMBERS)
                if problem_id not in used and self._tracker.last_step(problem_id) is not None
            ]
            chosen += weighted_sample(rng, ids, self._mixed_weights(ids), num_wanted)
        return chosen

    def _worth_reprobing(self, rng: random.Random, step: int, used: Collection[str]) -> list[str]:
        """At most one problem that was too hard, long enough ago, of a family that is better now."""
        fit: list[str] = []
        for problem_id in self._tracker.members(ProblemState.TOO_HARD).sample(rng, _FAMILY_MEMBERS):
            problem, last = self._tracker.problem(problem_id), self._tracker.last_step(problem_id)
            rested = last is not None and step - last >= self._settings.reprobe_delay
            rate = self._tracker.predicted_rate(problem.family, problem.level)
            is_better = rate >= _REPROBE_RATE and self._tracker.is_better_now(problem_id)
            if rested and is_better and problem_id not in used:
                fit.append(problem_id)
        return [rng.choice(fit)] if fit else []

    def _practice(self, rng: random.Random, count: int, used: Collection[str]) -> list[str]:
        """From the solvable band: P = (1 - rho) learnability share + rho staleness share (PLR's mix, without ranks)."""
        if count <= 0:
            return []
        pools = [self._tracker.lively, *(self._tracker.members(state) for state in _PRACTISED)]
        looked_at = dict.fromkeys(name for pool in pools for name in pool.sample(rng, self._settings.max_candidates))
        ids = [problem_id for problem_id in looked_at if problem_id not in used and self._is_practised(problem_id)]
        return weighted_sample(rng, ids, self._mixed_weights(ids), count)

    def _is_practised(self, problem_id: str) -> bool:
        is_open = self._tracker.state(problem_id) in _PRACTISED and self._tracker.is_promising(problem_id)
        return is_open and self._settings.band_low <= self._tracker.rate(problem_id) <= self._settings.band_high

    def _last_resort(self, rng: random.Random, count: int, used: Collection[str]) -> list[str]:
        """ACTIVE and NEW ones outside the band, then MASTERED, RETIRED and TOO_HARD; the most learnable first."""
        chosen: list[str] = []
        for states in (_PRACTISED, *((state,) for state in _LAST_RESORT)):
            ids = [
                problem_id
                for state in states
                for problem_id in self._tracker.members(state).sample(rng, self._settings.max_candidates)
                if problem_id not in used
            ]
            ids.sort(key=lambda problem_id: (-self._tracker.learnability(problem_id), problem_id))
            chosen += ids
            if len(chosen) >= count:
                break
        return chosen[: max(0, count)]

    def _mixed_weights(self, problem_ids: Sequence[str]) -> list[float]:
        rho = self._settings.staleness_weight
        learnable = shares([self._tracker.learnability(problem_id) ** SHARPNESS for problem_id in problem_ids])
        stale = shares([float(self._tracker.staleness(problem_id)) for problem_id in problem_ids])
        return [(1.0 - rho) * a + rho * b for a, b in zip(learnable, stale, strict=True)]


def _apportioned(rng: random.Random, at_risk: Sequence[tuple[str, float]], places: int) -> list[tuple[str, int]]:
    """Places to families in proportion to risk: whole parts first, the rest by a draw among the fractions."""
    parts = [places * share for share in shares([risk for _, risk in at_risk])]
    whole = [math.floor(part) for part in parts]
    fractions = [part - floor for part, floor in zip(parts, whole, strict=True)]
    extra = set(weighted_sample(rng, range(len(parts)), fractions, places - sum(whole)))
    given = [floor + (place in extra) for place, floor in enumerate(whole)]
    return [(family, count) for (family, _), count in zip(at_risk, given, strict=True) if count > 0]
