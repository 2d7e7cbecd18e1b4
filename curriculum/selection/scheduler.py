"""What to pose next: parents to escalate, how many new problems to take, and which known ones to practise again.

A pure function of the tracker, the seed and the step. It never sees the names or members of evaluation sets, a model or
a clock. Each draw looks at `max_candidates` problems at most, so its work does not grow with the store. Formulas and
numbers: docs/curriculum.md. Left out: replay by rank, as PLR has it; learnability is bounded, so its value will do.
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
from store.records import Help, Problem, ProblemState

SHARPNESS = 2  # exponent of learnability in replay weights: 4 p (1 - p) alone gives p = 0.8 still 0.64 of p = 1/2
_FAMILY_MEMBERS = 64  # problems of one family that a draw looks at
_BANK_SHARE = 0.125  # of a step's replays, at most: they cost twice the attempts
_REPROBE_RATE = 0.25  # rate of a family from which on its TOO_HARD problems are tried again
_UNTRIED_BONUS = 0.5  # added to the value of a parent family that was never asked
_PRACTISED = (ProblemState.ACTIVE, ProblemState.NEW)
_LAST_RESORT = (ProblemState.MASTERED, ProblemState.RETIRED, ProblemState.TOO_HARD)


@dataclass(frozen=True, slots=True)
class Replay:
    """A known problem to attempt again, with `group_multiplier` times the usual number of attempts. `help`: what the
    prompt says beside it, of one that is being rescued."""

    problem: Problem
    group_multiplier: int = 1
    help: Help | None = None


class Scheduler:
    """Reads the tracker as it stands before `step`. What is in `withheld` (probes.py) is never chosen."""

    def __init__(
        self, tracker: Tracker, settings: CurriculumSettings, seed: int, withheld: Collection[str] = frozenset()
    ) -> None:
        self._tracker = tracker
        self._settings = settings
        self._seed = seed
        self._withheld = withheld

    def without(self, problem_ids: Collection[str]) -> "Scheduler":
        """The same, which does not choose these either."""
        if not problem_ids:
            return self
        return Scheduler(self._tracker, self._settings, self._seed, {*self._withheld, *problem_ids})

    def parents(self, step: int, num_parents: int) -> list[Problem]:
        """Parents to escalate: exactly `num_parents` while any problem is known, repeated only if there are too few.

        Families are drawn in proportion to `_family_values`, parents in a family as `_parents` says. No family gives
        more than ceil(num_parents max_family_share), unless places stay empty. Where no problem can be a parent, the
        seeds are.
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
            chosen = [problem_id for problem_id in self._tracker.seeds if problem_id not in self._withheld]
            rng.shuffle(chosen)
        repeated = [chosen[place % len(chosen)] for place in range(num_parents)] if chosen else []
        return [self._tracker.problem(problem_id) for problem_id in repeated]

    def num_new(self, step: int, num_problems: int) -> int:
        """num_problems (min_new_share + (max_new_share - min_new_share) a / (a + b)), rounded: how many problems of the
        step are to be new. a and b are the recent shares of groups with right and wrong attempts, among new problems
        and among replays (`Tracker.signal_rate`)."""
        new, replayed = self._tracker.signal_rate(of_new=True), self._tracker.signal_rate(of_new=False)
        low, high = self._settings.min_new_share, self._settings.max_new_share
        return round(num_problems * (low + (high - low) * new / (new + replayed)))

    def least_new(self, num_problems: int) -> int:
        """num_problems min_new_share, rounded: how many of the step's problems are to be new, promising or not."""
        return round(num_problems * self._settings.min_new_share)

    def replays(self, step: int, count: int, num_problems: int) -> list[Replay]:
        """At most `count` different known problems that may teach something or be forgotten.

        In this order: what is due from the bank, rehearsals of families that may be forgotten, one problem that was too
        hard, and practice in the solvable band.
        """
        rng = self._generator(step, "replays")
        used: set[str] = set()  # membership only
        replays: list[Replay] = []

        def take(problem_ids: Sequence[str], multiplier: int = 1) -> None:
            for problem_id in problem_ids:
                if len(replays) < count and problem_id not in used and problem_id not in self._withheld:
                    used.add(problem_id)
                    replays.append(Replay(self._tracker.problem(problem_id), multiplier))

        take(self._due_from_bank(step, math.ceil(count * _BANK_SHARE)), multiplier=2)
        waiting = {*self._tracker.banked, *self._withheld}  # what is banked and not due waits for its larger group
        take(self._rehearsals(rng, num_problems, used | waiting))
        take(self._worth_reprobing(rng, step, used))
        take(self._practice(rng, count - len(replays), used | waiting))
        return replays

    def last_resort(self, step: int, count: int, exclude: Collection[str]) -> list[Replay]:
        """`count` different known problems outside `exclude`, of any state; fewer only when there are no more."""
        ids = self._last_resort(self._generator(step, "last resort"), count, exclude)
        return [Replay(self._tracker.problem(problem_id)) for problem_id in ids]

    def _generator(self, step: int, purpose: str) -> random.Random:
        return random.Random(f"{self._seed}/scheduler/{step}/{purpose}")

    def _parents(self, rng: random.Random, family: str) -> list[str]:
        """The family's possible parents, in the order of draws by weight p^2 / ((1 + e) (1 + c)), reversed.

        p is the pass rate: a problem that is solved more often than not has harder problems near it that are solvable.
        e is the number of proposals made from it: asked again, the challenger says much the same again. c is how many
        problems are like it (`crowding`): the challenger stays near its parent, so a crowd would only grow. Problems
        with p < parent_low and TOO_HARD ones are no parents.
        """
        members = self._tracker.family_members(family)
        ids = [
            problem_id
            for problem_id in members.sample(rng, _FAMILY_MEMBERS)
            if problem_id not in self._withheld
            and self._tracker.rate(problem_id) >= self._settings.parent_low
            and self._tracker.state(problem_id) is not ProblemState.TOO_HARD
        ]
        texts = [self._tracker.problem(problem_id).text for problem_id in ids]
        weights = [
            self._tracker.rate(problem_id) ** 2 / ((1 + self._tracker.escalations(problem_id)) * (1 + near))
            for problem_id, near in zip(ids, crowding(texts, archive_of(family, self._tracker, rng)), strict=True)
        ]
        return weighted_sample(rng, ids, weights, len(ids))[::-1]

    def _family_values(self) -> Floats:
        """((P(valid and new) E[L] + 0.5 / (1 + n)) d)^2 of each family as a parent, > 0.

        P(valid and new) is of its proposals, n the discounted number of these, E[L] the mean learnability of its new
        children (`Tracker.child_values`). The bonus 0.5 / (1 + n) has a family tried that was never asked. d is the
        level discount: children of a parent above the gapless level lie above it too.
        """
        value, num_proposals = self._tracker.child_values()
        value += _UNTRIED_BONUS / (1.0 + num_proposals)
        return (value * self._tracker.level_discounts()) ** 2  # type: ignore[no-any-return]

    def _due_from_bank(self, step: int, limit: int) -> list[str]:
        """The longest banked first."""
        due: list[tuple[int, str]] = []
        for problem_id in self._tracker.banked:
            banked = self._tracker.banked_step(problem_id)
            if problem_id in self._withheld or banked is None:
                continue
            if step - banked >= self._settings.bank_delay:
                due.append((banked, problem_id))
        return [problem_id for _, problem_id in sorted(due)[:limit]]

    def _rehearsals(self, rng: random.Random, num_problems: int, used: Collection[str]) -> list[str]:
        """num_problems mastered_share (0.5 + highest risk), rounded, of families that were known once, in proportion to
        their risk of being forgotten (`FamilyMemory.risk`); problems of a family by `_mixed_weights`."""
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
        """At most one TOO_HARD problem: not attempted for `reprobe_delay` steps, and its family's rate at least
        _REPROBE_RATE and higher than when it was attempted."""
        fit: list[str] = []
        for problem_id in self._tracker.members(ProblemState.TOO_HARD).sample(rng, _FAMILY_MEMBERS):
            problem, last = self._tracker.problem(problem_id), self._tracker.last_step(problem_id)
            rested = last is not None and step - last >= self._settings.reprobe_delay
            rate = self._tracker.predicted_rate(problem.family, problem.level)
            is_better = rate >= _REPROBE_RATE and self._tracker.is_better_now(problem_id)
            if rested and is_better and problem_id not in used and problem_id not in self._withheld:
                fit.append(problem_id)
        return [rng.choice(fit)] if fit else []

    def _practice(self, rng: random.Random, count: int, used: Collection[str]) -> list[str]:
        """Promising ACTIVE and NEW problems in the solvable band, by `_mixed_weights`."""
        if count <= 0:
            return []
        pools = [self._tracker.mixed, *(self._tracker.members(state) for state in _PRACTISED)]
        looked_at = dict.fromkeys(name for pool in pools for name in pool.sample(rng, self._settings.max_candidates))
        ids = [problem_id for problem_id in looked_at if problem_id not in used and self._is_practised(problem_id)]
        return weighted_sample(rng, ids, self._mixed_weights(ids), count)

    def _is_practised(self, problem_id: str) -> bool:
        is_open = self._tracker.state(problem_id) in _PRACTISED and self._tracker.is_promising(problem_id)
        return is_open and self._settings.band_low <= self._tracker.rate(problem_id) <= self._settings.band_high

    def _last_resort(self, rng: random.Random, count: int, used: Collection[str]) -> list[str]:
        """ACTIVE and NEW ones, then MASTERED, RETIRED and TOO_HARD ones; in each group the most learnable first."""
        chosen: list[str] = []
        for states in (_PRACTISED, *((state,) for state in _LAST_RESORT)):
            ids = [
                problem_id
                for state in states
                for problem_id in self._tracker.members(state).sample(rng, self._settings.max_candidates)
                if problem_id not in used and problem_id not in self._withheld
            ]
            ids.sort(key=lambda problem_id: (-self._tracker.learnability(problem_id), problem_id))
            chosen += ids
            if len(chosen) >= count:
                break
        return chosen[: max(0, count)]

    def _mixed_weights(self, problem_ids: Sequence[str]) -> list[float]:
        """(1 - rho) l_i^2 / sum(l^2) + rho t_i / sum(t): l the learnability, t the steps since a problem was attempted.

        The mix of scores and staleness of prioritized level replay (Jiang et al., arXiv 2010.03934), without ranks.
        """
        rho = self._settings.staleness_weight
        learnable = shares([self._tracker.learnability(problem_id) ** SHARPNESS for problem_id in problem_ids])
        stale = shares([float(self._tracker.staleness(problem_id)) for problem_id in problem_ids])
        return [(1.0 - rho) * a + rho * b for a, b in zip(learnable, stale, strict=True)]


def _apportioned(rng: random.Random, at_risk: Sequence[tuple[str, float]], places: int) -> list[tuple[str, int]]:
    """Places for each family in proportion to risk: the whole parts, and the rest by a draw in proportion to the
    fractions."""
    parts = [places * share for share in shares([risk for _, risk in at_risk])]
    whole = [math.floor(part) for part in parts]
    fractions = [part - floor for part, floor in zip(parts, whole, strict=True)]
    extra = set(weighted_sample(rng, range(len(parts)), fractions, places - sum(whole)))
    given = [floor + (place in extra) for place, floor in enumerate(whole)]
    return [(family, count) for (family, _), count in zip(at_risk, given, strict=True) if count > 0]
