"""What is known of each family and level: forgotten rates, the best rate ever seen, and the risk of being forgotten."""

import random
from collections import deque
from dataclasses import dataclass, field

from curriculum.pool import Pool
from curriculum.posterior import Forgotten, beta_draw, beta_mean, learnability

MASTERED_RATE = 0.9  # a family's posterior mean at or above this, on at least MIN_EVIDENCE forgotten attempts
KNOWN_RATE = 0.6  # a family that once reached this is worth rehearsing; answers sampled hot are right less often
MIN_EVIDENCE = 8.0
FRONTIER_VERSIONS = 20
FRONTIER_ATTEMPTS = 16
FRONTIER_RATE = 0.5
_LEVEL_STRENGTH = 4.0  # attempts that the level's rate counts for in a family's
_GROUP_STRENGTH = 2.0  # groups that the learnability of the family's rate counts for in that of its groups
_STEP_DOWN = 0.7  # an unseen level is taken to be this much harder than the one below
_STALE_DECAY = 0.97  # how fast a family not trained is taken to fade, per step


@dataclass(frozen=True, slots=True)
class FamilySummary:
    """A family as it stands now. `attempts` are forgotten ones, so they tell how fresh `rate` is."""

    family: str
    level: int
    rate: float  # posterior mean of the first try, in (0, 1)
    attempts: float
    best_rate: float  # highest posterior mean ever reached on enough attempts, `rate` included; 0 when never on enough
    mastered: bool
    last_step: int | None  # the last step that attempted one of its problems
    risk: float  # of being forgotten, in [0, 1]
    num_problems: int


@dataclass(slots=True)
class FamilyMemory:
    """The accumulators behind a FamilySummary. `children` and `fates` are of what was escalated from this family,
    `proposed` of what was proposed in it, from wherever."""

    family: str
    level: int
    counts: Forgotten = field(default_factory=Forgotten)
    groups: Forgotten = field(default_factory=Forgotten)  # hits: learnability of measured groups; misses: 1 - that
    children: Forgotten = field(default_factory=Forgotten)  # hits: learnability of measured children; misses: 1 - that
    fates: Forgotten = field(default_factory=Forgotten)  # hits: children that were valid and new; misses: rejected
    proposed: Forgotten = field(default_factory=Forgotten)  # hits: admitted as new; misses: known already
    best_rate: float = 0.0
    last_step: int | None = None
    members: Pool = field(default_factory=Pool)

    def risk(self, rate: float, step: int) -> float:
        """The drop from the best rate, doubled, plus how much of it may have faded unseen; 0 for one never known."""
        if self.best_rate < KNOWN_RATE or self.last_step is None:
            return 0.0
        drop = max(0.0, self.best_rate - rate)
        faded = self.best_rate * (1.0 - _STALE_DECAY ** max(0, step - self.last_step))
        return min(1.0, 2.0 * drop + faded)


@dataclass(slots=True)
class LevelMemory:
    """Forgotten counts of a level, and its last FRONTIER_VERSIONS versions one by one: a step's groups in one entry."""

    counts: Forgotten = field(default_factory=Forgotten)
    recent: deque[tuple[int, int, int]] = field(default_factory=deque)  # version, attempts, successes
    was_reached: bool = False  # at any version

    def add(self, version: int, attempts: int, successes: int, forgetting: float) -> None:
        self.counts.add(successes, attempts - successes, version, forgetting)
        if self.recent and self.recent[-1][0] == version:
            _, tried, solved = self.recent.pop()
            attempts, successes = attempts + tried, successes + solved
        self.recent.append((version, attempts, successes))
        while self.recent and self.recent[0][0] <= version - FRONTIER_VERSIONS:
            self.recent.popleft()
        self.was_reached = self.was_reached or self.is_reached(version)

    def is_reached(self, version: int) -> bool:
        """Whether the posterior mean under the last FRONTIER_VERSIONS versions is at least FRONTIER_RATE."""
        attempts, successes = self._lately(version)
        return attempts >= FRONTIER_ATTEMPTS and beta_mean(successes, attempts - successes) >= FRONTIER_RATE

    def is_gap(self, version: int) -> bool:
        """Whether it is not reached, other than for want of practice since it was."""
        is_unpractised = self._lately(version)[0] < FRONTIER_ATTEMPTS
        return not self.is_reached(version) and not (self.was_reached and is_unpractised)

    def _lately(self, version: int) -> tuple[int, int]:
        """(attempts, successes) under the last FRONTIER_VERSIONS versions."""
        window = [(n, k) for seen, n, k in self.recent if seen > version - FRONTIER_VERSIONS]
        return sum(n for n, _ in window), sum(k for _, k in window)


class Families:
    """All families and levels, folded from observations in order."""

    def __init__(self, forgetting: float, child_forgetting: float) -> None:
        """`forgetting` of how hard a family is, `child_forgetting` of what came of escalating it: slower, or families
        that are exhausted would be asked again and again."""
        self._forgetting = forgetting
        self._child_forgetting = child_forgetting
        self._families: dict[str, FamilyMemory] = {}
        self._levels: dict[int, LevelMemory] = {}

    def enrol(self, family: str, level: int, problem_id: str) -> None:
        """A problem joins its family; the family's level is that of its first problem."""
        self._families.setdefault(family, FamilyMemory(family, level)).members.add(problem_id)

    def observe(self, family: str, level: int, step: int, version: int, attempts: int, successes: int) -> None:
        memory = self._families[family]
        self._levels.setdefault(level, LevelMemory()).add(version, attempts, successes, self._forgetting)
        memory.counts.add(successes, attempts - successes, version, self._forgetting)
        value = learnability(successes / attempts)
        memory.groups.add(value, 1.0 - value, version, self._forgetting)
        memory.last_step = step
        hits, misses = memory.counts.at(version, self._forgetting)
        if hits + misses >= MIN_EVIDENCE:
            memory.best_rate = max(memory.best_rate, self.rate(family, memory.level, version))

    def observe_child(self, parent_family: str, value: float, version: int) -> None:
        """A child escalated from this family was measured; `value` is its learnability, in [0, 1]."""
        self._families[parent_family].children.add(value, 1.0 - value, version, self._child_forgetting)

    def observe_fate(self, parent_family: str, is_valid_and_new: bool, version: int) -> None:
        """What became of a proposal escalated from this family."""
        fates = self._families[parent_family].fates
        fates.add(float(is_valid_and_new), float(not is_valid_and_new), version, self._child_forgetting)

    def observe_proposed(self, family: str, is_new: bool, version: int) -> None:
        """The challenger posed a problem of this family: one to admit, or one that is known already."""
        self._families[family].proposed.add(float(is_new), float(not is_new), version, self._child_forgetting)

    def rate(self, family: str, level: int, version: int) -> float:
        """Posterior mean of the family, its prior the rate of its level's neighbourhood; also for an unseen family."""
        prior = self._level_rate(level, version)
        memory = self._families.get(family)
        hits, misses = memory.counts.at(version, self._forgetting) if memory else (0.0, 0.0)
        return beta_mean(hits, misses, prior, _LEVEL_STRENGTH)

    def drawn_learnability(self, family: str, level: int, version: int, rng: random.Random) -> float:
        """A draw from the posterior of a group's own 4 k/n (1 - k/n), its prior the learnability of the family's rate.
        A family half of which is always solved and half never teaches nothing, for all that its rate is 1/2."""
        prior = learnability(self.rate(family, level, version))
        memory = self._families.get(family)
        hits, misses = memory.groups.at(version, self._forgetting) if memory else (0.0, 0.0)
        return beta_draw(rng, hits, misses, prior, _GROUP_STRENGTH)

    def unseen_mass(self, family: str, version: int) -> float:
        """Posterior mean of P(what is posed next in this family is new): how much of it is still to be found, as in
        Good, "The population frequencies of species" (Biometrika 40, 1953). 1/2 for an unseen family."""
        memory = self._families.get(family)
        return beta_mean(*memory.proposed.at(version, self._child_forgetting)) if memory else 0.5

    def attempts(self, family: str, version: int) -> float:
        """Forgotten attempts: 0 for an unseen family."""
        memory = self._families.get(family)
        return sum(memory.counts.at(version, self._forgetting)) if memory else 0.0

    def is_mastered(self, family: str, version: int) -> bool:
        level = self._families[family].level
        enough = self.attempts(family, version) >= MIN_EVIDENCE
        return enough and self.rate(family, level, version) >= MASTERED_RATE

    def child_value(self, family: str, version: int) -> tuple[float, float]:
        """(what a proposal escalated from this family is worth, forgotten number of proposals).

        The worth is P(valid and new) times the mean learnability of its measured children, both posterior means.
        """
        memory = self._families[family]
        hits, misses = memory.children.at(version, self._child_forgetting)
        taken, rejected = memory.fates.at(version, self._child_forgetting)
        return beta_mean(taken, rejected) * beta_mean(hits, misses), taken + rejected

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
            risk=memory.risk(rate, step),
            num_problems=len(memory.members),
        )

    def names(self) -> tuple[str, ...]:
        """In the order of their first problem."""
        return tuple(self._families)

    def frontier(self, version: int) -> int:
        """The highest reached level, 0 when there is none."""
        return max((level for level, memory in self._levels.items() if memory.is_reached(version)), default=0)

    def reach(self, version: int) -> int:
        """The level below the first gap among those that were tried; 0 when even the lowest is one."""
        levels = sorted(self._levels)
        gaps = (level for level in levels if self._levels[level].is_gap(version))
        return next(gaps, levels[-1] + 1 if levels else 1) - 1

    def _level_rate(self, level: int, version: int) -> float:
        """From the level and, at half weight, its neighbours; else from the nearest level below, faded; else 1/2."""
        hits = misses = 0.0
        for near, weight in ((level - 1, 0.5), (level, 1.0), (level + 1, 0.5)):
            if near in self._levels:
                near_hits, near_misses = self._levels[near].counts.at(version, self._forgetting)
                hits, misses = hits + weight * near_hits, misses + weight * near_misses
        if hits + misses >= 1.0:
            return beta_mean(hits, misses)
        below = max((known for known in self._levels if known < level - 1), default=None)
        if below is None:
            return 0.5
        return min(0.5, self._level_rate(below, version) * _STEP_DOWN ** (level - below))
