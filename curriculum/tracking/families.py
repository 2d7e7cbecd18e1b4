"""What is known of each family and level: discounted rates, the best rate ever seen, and the risk of being forgotten.

Formulas, and where the numbers are from: docs/curriculum.md. "Discounted" attempts are those of `Counts`.
"""

import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curriculum.settings import CurriculumSettings
from curriculum.tracking.columns import Column, CountColumns, Floats, Powers, beta_means
from curriculum.tracking.learned import Held
from curriculum.tracking.pool import Pool
from curriculum.tracking.posterior import Counts, beta_draw, beta_mean, learnability

MASTERED_RATE = 0.9  # a family with this posterior mean is mastered, on MIN_EVIDENCE_GROUPS of discounted attempts
MIN_EVIDENCE_GROUPS = 1
FRONTIER_VERSIONS = 20
FRONTIER_GROUPS = 2
FRONTIER_RATE = 0.5
_LEVEL_STRENGTH = 4.0  # attempts that a level's rate weighs in the rate of its families
_GROUP_STRENGTH = 2.0  # groups that the learnability of a family's rate weighs in that of its groups
_STEP_DOWN = 0.7  # an unseen level's rate over that of the level below it
_STALE_DECAY = 0.97  # what is taken to be left of a family's best rate after one step without it
_LARGEST = 2**62  # level that a column can hold: higher ones count as this
_FAR = 256  # levels: what is farther counts as this far, so that level_discount^(2 * 256) is still above 0


@dataclass(frozen=True, slots=True)
class FamilySummary:
    """A family as it stands now. `attempts` are discounted, so they tell how fresh `rate` is."""

    family: str
    level: int
    rate: float  # posterior mean of the first try, in (0, 1)
    attempts: float
    best_rate: float  # highest posterior mean so far on MIN_EVIDENCE_GROUPS, `rate` included; 0 where never on so many
    mastered: bool
    last_step: int | None  # the last step that attempted one of its problems
    risk: float  # of being forgotten, in [0, 1]
    num_problems: int


@dataclass(slots=True)
class FamilyMemory:
    """The counts behind a FamilySummary.

    `children` and `fates` are of proposals whose parent is of this family; `proposed` is of proposals that are of this
    family themselves, whatever their parent.
    """

    family: str
    level: int
    counts: Counts = field(default_factory=Counts)
    groups: Counts = field(default_factory=Counts)  # of first groups: hits L = 4 k/n (1 - k/n), misses 1 - L
    children: Counts = field(default_factory=Counts)  # of new children: hits L, misses 1 - L
    fates: Counts = field(default_factory=Counts)  # hits: proposals that were valid and new; misses: rejected
    proposed: Counts = field(default_factory=Counts)  # hits: admitted as new; misses: known already
    held: Held = field(default_factory=Held)
    best_rate: float = 0.0
    last_step: int | None = None
    members: Pool = field(default_factory=Pool)

    def risk(self, rate: float, step: int, known_rate: float) -> float:
        """min(1, 2 max(0, best - rate) + best (1 - 0.97^age)), age in steps since it was attempted.

        0 where best < `known_rate`: what was never known cannot be forgotten. A drop that was seen counts twice as much
        as one that may have happened unseen.
        """
        if self.best_rate < known_rate or self.last_step is None:
            return 0.0
        drop = max(0.0, self.best_rate - rate)
        faded = self.best_rate * (1.0 - _STALE_DECAY ** max(0, step - self.last_step))
        return min(1.0, 2.0 * drop + faded)


@dataclass(slots=True)
class LevelMemory:
    """Discounted counts of a level, and those of its last FRONTIER_VERSIONS policy versions one by one."""

    counts: Counts = field(default_factory=Counts)
    recent: deque[tuple[int, int, int]] = field(default_factory=deque)  # version, attempts, successes
    was_reached: bool = False  # at any version

    def add(self, version: int, attempts: int, successes: int, forgetting: float, group_size: int) -> None:
        self.counts.add(successes, attempts - successes, version, forgetting)
        if self.recent and self.recent[-1][0] == version:
            _, tried, solved = self.recent.pop()
            attempts, successes = attempts + tried, successes + solved
        self.recent.append((version, attempts, successes))
        while self.recent and self.recent[0][0] <= version - FRONTIER_VERSIONS:
            self.recent.popleft()
        self.was_reached = self.was_reached or self.is_reached(version, group_size)

    def is_reached(self, version: int, group_size: int) -> bool:
        """(1 + k) / (2 + n) >= FRONTIER_RATE and n >= FRONTIER_GROUPS groups, for k of n attempts right under the last
        FRONTIER_VERSIONS versions."""
        attempts, successes = self._lately(version)
        return attempts >= FRONTIER_GROUPS * group_size and beta_mean(successes, attempts - successes) >= FRONTIER_RATE

    def is_gap(self, version: int, group_size: int) -> bool:
        """Whether it is not reached now. A level that was reached once and has too few recent attempts is no gap."""
        is_unpractised = self._lately(version)[0] < FRONTIER_GROUPS * group_size
        return not self.is_reached(version, group_size) and not (self.was_reached and is_unpractised)

    def _lately(self, version: int) -> tuple[int, int]:
        """(attempts, successes) under the last FRONTIER_VERSIONS versions."""
        window = [(n, k) for seen, n, k in self.recent if seen > version - FRONTIER_VERSIONS]
        return sum(n for n, _ in window), sum(k for _, k in window)


class _Derived:
    """A cache of what is derived from the memories. Filling it changes no number."""

    def __init__(self, settings: CurriculumSettings) -> None:
        self.levels: list[int] = []  # those that were tried, in order
        self.changed: dict[str, None] = {}  # families whose rows are out of date
        self.names: list[str] = []
        self.gapless_level: dict[int, int] = {}  # by version
        self.level, self.last_step = Column(np.int64), Column(np.int64)
        self.best_rate = Column()
        self.counts = CountColumns(settings.family_forgetting)
        self.children, self.fates = CountColumns(settings.forgetting), CountColumns(settings.forgetting)
        self.near, self.stale = Powers(settings.level_discount), Powers(_STALE_DECAY)
        self._rows: dict[str, int] = {}
        self._rates: dict[int, float] = {}  # by level
        self._rates_version = 0

    def put(self, memory: FamilyMemory) -> None:
        """The family's row."""
        row = self._rows.setdefault(memory.family, len(self._rows))
        if row == len(self.names):
            self.names.append(memory.family)
            self.level.put(row, min(memory.level, _LARGEST))
        self.last_step.put(row, -1 if memory.last_step is None else memory.last_step)
        self.best_rate.put(row, memory.best_rate)
        self.counts.put(row, memory.counts)
        self.children.put(row, memory.children)
        self.fates.put(row, memory.fates)

    def forget_levels(self) -> None:
        """Drops what depends on levels: one was observed."""
        self.gapless_level.clear()
        self._rates.clear()

    def rates_at(self, version: int) -> dict[int, float]:
        """The rates of levels that were derived so far; the caller adds to them."""
        if version != self._rates_version:
            self._rates.clear()
            self._rates_version = version
        return self._rates


class Families:
    """All families and levels, folded from observations in order."""

    def __init__(self, settings: CurriculumSettings) -> None:
        """`family_forgetting` is of how hard a family is. What escalating it came to is forgotten by `forgetting`,
        which is slower: an exhausted family stays exhausted, and would else be asked again and again."""
        self._settings = settings
        self._forgetting = settings.family_forgetting
        self._child_forgetting = settings.forgetting
        self._group_size = settings.group_size
        self._families: dict[str, FamilyMemory] = {}
        self._levels: dict[int, LevelMemory] = {}
        self._derived = _Derived(settings)

    def state_of_fold(self) -> dict[str, Any]:
        """All that was folded. Left out: the settings, and what is derived."""
        return {"families": self._families, "levels": self._levels}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state_of_fold` gave."""
        self._families, self._levels = state["families"], state["levels"]
        self._derived.levels = sorted(self._levels)
        self._derived.changed = dict.fromkeys(self._families)

    def enrol(self, family: str, level: int, problem_id: str) -> None:
        """A problem joins its family; the family's level is that of its first problem."""
        self._families.setdefault(family, FamilyMemory(family, level)).members.add(problem_id)
        self._derived.changed.setdefault(family)

    def observe(
        self, family: str, level: int, step: int, version: int, attempts: int, successes: int, is_first: bool
    ) -> None:
        """`is_first`: this is the problem's first group. Later groups are of problems that were chosen for what they
        had taught, so only first ones tell without bias what an untried problem may teach."""
        memory = self._families[family]
        self._derived.changed.setdefault(family)
        self._derived.forget_levels()
        if level not in self._levels:
            self._levels[level] = LevelMemory()
            insort(self._derived.levels, level)
        self._levels[level].add(version, attempts, successes, self._forgetting, self._group_size)
        memory.counts.add(successes, attempts - successes, version, self._forgetting)
        value = learnability(successes / attempts)
        if is_first:
            memory.groups.add(value, 1.0 - value, version, self._forgetting)
            memory.held.observe(attempts / self._group_size, successes / attempts)
        memory.last_step = step
        hits, misses = memory.counts.at(version, self._forgetting)
        if hits + misses >= MIN_EVIDENCE_GROUPS * self._group_size:
            memory.best_rate = max(memory.best_rate, self.rate(family, memory.level, version))

    def observe_child(self, parent_family: str, value: float, version: int) -> None:
        """A new problem whose parent is of this family was measured; `value` is its learnability, in [0, 1]."""
        self._derived.changed.setdefault(parent_family)
        self._families[parent_family].children.add(value, 1.0 - value, version, self._child_forgetting)

    def observe_fate(self, parent_family: str, is_valid_and_new: bool, version: int) -> None:
        """What became of a proposal whose parent is of this family."""
        self._derived.changed.setdefault(parent_family)
        fates = self._families[parent_family].fates
        fates.add(float(is_valid_and_new), float(not is_valid_and_new), version, self._child_forgetting)

    def observe_proposed(self, family: str, is_new: bool, version: int) -> None:
        """A proposal was a problem of this family: a new one that was admitted, or one that is known already."""
        self._families[family].proposed.add(float(is_new), float(not is_new), version, self._child_forgetting)

    def observe_pay(self, family: str) -> None:
        """A step has paid measured proposals of this family."""
        if family in self._families:
            self._families[family].held.pay()

    def credit(self, family: str) -> float:
        """What was learned of the family and not paid for yet (`Held.credit`), in [-1, 1]; 0 for an unseen one."""
        memory = self._families.get(family)
        return memory.held.credit if memory else 0.0

    def rate(self, family: str, level: int, version: int) -> float:
        """(4 m + k) / (4 + n) of the family's discounted k of n, m the rate of its level; m for an unseen family."""
        prior = self.level_rate(level, version)
        memory = self._families.get(family)
        hits, misses = memory.counts.at(version, self._forgetting) if memory else (0.0, 0.0)
        return beta_mean(hits, misses, prior, _LEVEL_STRENGTH)

    def drawn_learnability(self, family: str, level: int, version: int, rng: random.Random) -> float:
        """A draw from Beta(2 l + h, 2 (1 - l) + m), both + 0.1: h and m are the discounted sums of L = 4 k/n (1 - k/n)
        and 1 - L over the family's first groups, l = 4 p (1 - p) of the family's rate p.

        Groups are averaged and not the rate: a family half of whose problems are always solved and half never has a
        rate of 1/2 and teaches nothing.
        """
        prior = learnability(self.rate(family, level, version))
        memory = self._families.get(family)
        hits, misses = memory.groups.at(version, self._forgetting) if memory else (0.0, 0.0)
        return beta_draw(rng, hits, misses, prior, _GROUP_STRENGTH)

    def unseen_mass(self, family: str, version: int) -> float:
        """(1 + new) / (2 + new + known): P(the next proposal of this family is new), of its discounted proposals.

        Good's missing mass ("The population frequencies of species", Biometrika 40, 1953): how far the family is from
        exhausted. 1/2 for an unseen family.
        """
        memory = self._families.get(family)
        return beta_mean(*memory.proposed.at(version, self._child_forgetting)) if memory else 0.5

    def attempts(self, family: str, version: int) -> float:
        """Discounted attempts: 0 for an unseen family."""
        memory = self._families.get(family)
        return sum(memory.counts.at(version, self._forgetting)) if memory else 0.0

    def is_mastered(self, family: str, version: int) -> bool:
        level = self._families[family].level
        enough = self.attempts(family, version) >= MIN_EVIDENCE_GROUPS * self._group_size
        return enough and self.rate(family, level, version) >= MASTERED_RATE

    def members(self, family: str) -> Pool:
        """Empty for an unseen family."""
        memory = self._families.get(family)
        return memory.members if memory else Pool()

    def summary(self, family: str, step: int, version: int) -> FamilySummary:
        memory = self._families[family]
        rate = self.rate(family, memory.level, version)
        return FamilySummary(
            family=family,
            level=memory.level,
            rate=rate,
            attempts=self.attempts(family, version),
            best_rate=max(memory.best_rate, rate) if memory.best_rate else 0.0,
            mastered=self.is_mastered(family, version),
            last_step=memory.last_step,
            risk=memory.risk(rate, step, self._settings.known_rate),
            num_problems=len(memory.members),
        )

    def names(self) -> Sequence[str]:
        """In the order of their first problem. To be read only."""
        return self._fresh().names

    def child_values(self, version: int) -> tuple[Floats, Floats]:
        """(P(valid and new) E[L], discounted number of proposals) of each family as a parent, in the order of `names`.

        P(valid and new) and E[L], the mean learnability of new children, are posterior means with a prior Beta(1, 1).
        """
        derived = self._fresh()
        taken, rejected = derived.fates.at(version)
        return beta_means(taken, rejected) * beta_means(*derived.children.at(version)), taken + rejected

    def level_discounts(self, version: int) -> Floats:
        """`level_discount` of each family's level, in the order of `names`."""
        derived = self._fresh()
        beyond = derived.level.values - min(self.gapless_level(version), _LARGEST)
        return derived.near.of(beyond.clip(0, _FAR))

    def at_risk(self, step: int, version: int) -> tuple[tuple[str, float], ...]:
        """(family, `FamilyMemory.risk`) where that is above 0, in the order of `names`."""
        derived = self._fresh()
        best = derived.best_rate.values
        known = np.flatnonzero((best >= self._settings.known_rate) & (derived.last_step.values >= 0))
        levels, places = np.unique(derived.level.values[known], return_inverse=True)
        priors = np.array([self.level_rate(int(level), version) for level in levels])[places]
        hits, misses = derived.counts.at(version)
        rates = beta_means(hits[known], misses[known], priors, _LEVEL_STRENGTH)
        age = np.maximum(0, step - derived.last_step.values[known])
        faded = best[known] * (1.0 - derived.stale.of(age))
        risks = np.minimum(1.0, 2.0 * np.maximum(0.0, best[known] - rates) + faded)
        return tuple(
            (derived.names[place], risk) for place, risk in zip(known.tolist(), risks.tolist(), strict=True) if risk > 0
        )

    def frontier(self, version: int) -> int:
        """The highest level that is reached now, whatever lies below it; 0 when there is none."""
        highest_first = reversed(self._derived.levels)
        return next((level for level in highest_first if self._levels[level].is_reached(version, self._group_size)), 0)

    def gapless_level(self, version: int) -> int:
        """The level below the first gap among those that were tried; the highest tried one if there is no gap; 0 where
        nothing was tried."""
        derived = self._derived
        if version not in derived.gapless_level:
            gaps = (level for level in derived.levels if self._levels[level].is_gap(version, self._group_size))
            derived.gapless_level[version] = next(gaps, derived.levels[-1] + 1 if derived.levels else 1) - 1
        return derived.gapless_level[version]

    def level_discount(self, level: int, version: int) -> float:
        """level_discount^max(0, level - gapless level): what is learned on low levels transfers to higher ones, so low
        ones come first."""
        return self._settings.level_discount ** min(_FAR, max(0, level - self.gapless_level(version)))

    def level_rate(self, level: int, version: int) -> float:
        """(1 + k) / (2 + n), k of n the discounted attempts of the level and, at half weight, of its two neighbours.

        Where n < 1: min(1/2, 0.7^d rate of the nearest known level below), d levels lower. Where there is none: 1/2.
        """
        known = self._derived.rates_at(version)
        passed: list[tuple[int, int]] = []  # levels without evidence, and how far below each the next one is
        while level not in known:
            hits, misses = self._around(level, version)
            place = bisect_left(self._derived.levels, level - 1)
            if hits + misses >= 1.0:
                known[level] = beta_mean(hits, misses)
            elif place == 0:
                known[level] = 0.5
            else:
                below = self._derived.levels[place - 1]
                passed.append((level, min(_FAR, level - below)))
                level = below
        rate = known[level]
        for above, distance in reversed(passed):
            rate = known[above] = min(0.5, rate * _STEP_DOWN**distance)
        return rate

    def _around(self, level: int, version: int) -> tuple[float, float]:
        """Discounted counts of a level and, at half weight, its neighbours."""
        hits = misses = 0.0
        for near, weight in ((level - 1, 0.5), (level, 1.0), (level + 1, 0.5)):
            if near in self._levels:
                near_hits, near_misses = self._levels[near].counts.at(version, self._forgetting)
                hits, misses = hits + weight * near_hits, misses + weight * near_misses
        return hits, misses

    def _fresh(self) -> _Derived:
        """The cache, with the families that changed brought up to date."""
        for family in self._derived.changed:
            self._derived.put(self._families[family])
        self._derived.changed.clear()
        return self._derived
