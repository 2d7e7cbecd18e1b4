"""The curriculum's memory: how hard each problem is now, folded over the stored history.

Tracker is a pure fold: rebuilding it from `Store.history()` gives the same numbers, bit for bit, as having kept it.
What is stored of it is a snapshot (curriculum/tracking/snapshot.py). No clock or generator of its own is read, and
reading changes nothing. Left out: per-problem difficulty models (item response theory); families carry what is shared
between problems.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curriculum.settings import CurriculumSettings
from curriculum.tracking.columns import Floats
from curriculum.tracking.families import Families, FamilyMemory, FamilySummary, LevelMemory
from curriculum.tracking.pool import Pool
from curriculum.tracking.posterior import Forgotten, beta_learnability, beta_mean, learnability
from curriculum.tracking.states import FALLEN_RATE, MASTERED_MEAN, Evidence, is_banked, next_state
from store.records import Fate, Origin, PassRate, Problem, ProblemState, Proposal, StepHistory

_MOST_STRENGTH = 2.0  # attempts that the family's rate counts for in a problem's, at most: as in Beta(1, 1)
_SECOND_LOOK_STRENGTH = 4.0


@dataclass(slots=True)
class _Memory:
    """What is known of one problem."""

    problem: Problem
    admitted_step: int
    state: ProblemState = ProblemState.NEW
    counts: Forgotten = field(default_factory=Forgotten)
    after_right: Forgotten = field(default_factory=Forgotten)  # second looks: hits kept, misses broken
    after_wrong: Forgotten = field(default_factory=Forgotten)  # hits fixed, misses missed
    attempts: int = 0
    successes: int = 0
    observations: int = 0
    failures_in_row: int = 0
    mastered_streak: int = 0
    last_step: int | None = None
    banked_step: int | None = None
    escalations: int = 0  # proposals made from it
    predicted: float = 0.0  # what its family's rate was when it was last attempted


_FAMILIES = "_families"
_NOT_FOLDED = {"settings", "_forgetting", "_fast", "_untried", _FAMILIES}
KEPT_CLASSES: Mapping[str, type] = {  # what `Tracker.state_of_fold` is made of, besides numbers, texts and series
    each.__name__: each for each in (_Memory, Problem, Forgotten, FamilyMemory, LevelMemory, ProblemState, Origin)
}


class Tracker:
    """What is known after the steps observed so far. An unknown problem_id raises KeyError everywhere."""

    def __init__(self, settings: CurriculumSettings) -> None:
        self.step = 0  # the last observed step
        self.version = 0  # the policy version it made: the one that rates are given for
        self.settings = settings
        self._forgetting = settings.forgetting  # of what is known of one problem
        self._fast = settings.family_forgetting  # of what is known of families and of the run as a whole
        self._memories: dict[str, _Memory] = {}
        self._untried: dict[tuple[str, int], tuple[float, float]] = {}  # by family and level, worked out since a step
        self._families = Families(settings.family_forgetting, settings.forgetting, settings.group_size)
        self._pools = {state: Pool() for state in ProblemState}
        self._flat_again = Forgotten()  # replays after a flat group: hits: their learnability; misses: 1 - that
        self._lively = Pool()  # problems of which the latest group was right and wrong
        self._seeds = Pool()
        self._banked = Pool()
        self._second_looks = {True: Forgotten(), False: Forgotten()}  # by whether the first try was right
        self._signals = {True: Forgotten(), False: Forgotten()}  # groups with a signal, by whether the problem was new
        self._alike = Forgotten()  # first groups: hits: learnability found; misses: what of the family's was not found

    def observe(self, history: StepHistory) -> None:
        """Folds one step in. Steps come in order, each once: ValueError otherwise, for numbers would be wrong.

        The order of problems and pass rates inside a step does not matter: floats are summed in the order of ids.
        """
        if history.step < self.step or (history.step == self.step and self._memories):
            raise ValueError(f"step {history.step} was observed after step {self.step}")
        self._untried.clear()
        new = {problem.problem_id for problem in history.problems}
        for problem in sorted(history.problems, key=lambda problem: problem.problem_id):
            self._admit(problem, history.step)
        for rate in sorted(history.pass_rates, key=lambda rate: (rate.problem_id, rate.policy_version)):
            if rate.attempts:
                self._observe_rate(rate, history.step, rate.problem_id in new)
        for proposal in history.proposals:
            self._observe_proposal(proposal, history.policy_version)
        self.step, self.version = history.step, history.policy_version

    def state_of_fold(self) -> dict[str, Any]:
        """All that was folded, as one value; the settings and what is derived are left out. To be read only."""
        own = {name: value for name, value in vars(self).items() if name not in _NOT_FOLDED}
        return own | {_FAMILIES: self._families.state_of_fold()}

    def take_up(self, state: dict[str, Any], step: int) -> bool:
        """Goes on, as a tracker that has observed nothing yet, from what another's `state_of_fold` gave after `step`;
        False, and nothing is done, if that is something else."""
        if self._memories or state.keys() != self.state_of_fold().keys() or state["step"] != step:
            return False
        self._families.take_up(state[_FAMILIES])
        vars(self).update({name: value for name, value in state.items() if name != _FAMILIES})
        return True

    def rate(self, problem_id: str) -> float:
        """Posterior mean of the first-try pass rate under the current policy, in (0, 1); its family's when untried."""
        memory = self._memories[problem_id]
        prior, strength = self._prior(memory.problem)
        return beta_mean(*memory.counts.at(self.version, self._forgetting), prior, strength)

    def learnability(self, problem_id: str) -> float:
        """What its next group may teach, in [0, 1]: the posterior mean of 4 p (1 - p) as of its last attempts, and more
        and more that of an untried problem as they are forgotten."""
        now, untried = self._learnabilities(problem_id)
        counts = self._memories[problem_id].counts
        weight = self._forgetting ** max(0, self.version - counts.version)
        return weight * now + (1.0 - weight) * untried

    def is_promising(self, problem_id: str) -> bool:
        """Whether it may teach at least as much as an untried problem like it: what was always solved or never may not,
        however long ago that was."""
        now, untried = self._learnabilities(problem_id)
        return now >= untried

    def is_better_now(self, problem_id: str) -> bool:
        """Whether its family is solved more often than when it was last attempted."""
        memory = self._memories[problem_id]
        return self.predicted_rate(memory.problem.family, memory.problem.level) > memory.predicted

    def predicted_rate(self, family: str, level: int) -> float:
        """What an unseen problem's pass rate may be: of its family, else its level, else of lower levels, else 1/2."""
        return self._families.rate(family, level, self.version)

    def drawn_learnability(self, family: str, level: int, rng: random.Random) -> float:
        """A draw from what is believed of what an unseen problem's group may teach, by the family's groups so far: the
        less of it was seen of late, the wider. In [0, 1]."""
        return self._families.drawn_learnability(family, level, self.version, rng)

    def unseen_mass(self, family: str) -> float:
        """P(what the challenger poses next in this family is new), in (0, 1): how far the family is from exhausted."""
        return self._families.unseen_mass(family, self.version)

    def second_look_rate(self, problem_id: str, was_right: bool) -> float:
        """Estimate of P(second look right | problem, first try right or wrong), in (0, 1), shrunk to all problems'.

        A problem not admitted yet has the estimate of all problems: this alone does not raise KeyError.
        """
        everywhere = beta_mean(*self._second_looks[was_right].at(self.version, self._fast))
        memory = self._memories.get(problem_id)
        if memory is None:
            return everywhere
        own = memory.after_right if was_right else memory.after_wrong
        return beta_mean(*own.at(self.version, self._forgetting), everywhere, _SECOND_LOOK_STRENGTH)

    def knows(self, problem_id: str) -> bool:
        return problem_id in self._memories

    def problem(self, problem_id: str) -> Problem:
        return self._memories[problem_id].problem

    def state(self, problem_id: str) -> ProblemState:
        return self._memories[problem_id].state

    def totals(self, problem_id: str) -> tuple[int, int]:
        """(attempts, successes) of all first tries ever judged."""
        memory = self._memories[problem_id]
        return memory.attempts, memory.successes

    def escalations(self, problem_id: str) -> int:
        """How many proposals were made from it, whatever became of them."""
        return self._memories[problem_id].escalations

    def admitted_step(self, problem_id: str) -> int:
        return self._memories[problem_id].admitted_step

    def last_step(self, problem_id: str) -> int | None:
        """The last step that attempted it; None when untried."""
        return self._memories[problem_id].last_step

    def staleness(self, problem_id: str) -> int:
        """Steps since it was attempted, or since it was admitted when untried."""
        memory = self._memories[problem_id]
        return self.step - (memory.admitted_step if memory.last_step is None else memory.last_step)

    def banked_step(self, problem_id: str) -> int | None:
        """The step that banked it: too few successes to learn from, to be tried again with more attempts."""
        return self._memories[problem_id].banked_step

    def banks(self, problem_id: str, successes: int) -> bool:
        """Whether a group with so many right first tries goes into the bank (`is_banked` of states.py); a problem not
        admitted yet has never been there."""
        memory = self._memories.get(problem_id)
        was_banked = memory is not None and memory.banked_step is not None
        return is_banked(successes, self.settings.least_successes, was_banked)

    def members(self, state: ProblemState) -> Pool:
        """The problems in a state. To be read only."""
        return self._pools[state]

    @property
    def lively(self) -> Pool:
        """Problems of which the latest group was right and wrong. To be read only."""
        return self._lively

    @property
    def seeds(self) -> Pool:
        return self._seeds

    @property
    def banked(self) -> Pool:
        return self._banked

    def num_problems(self) -> int:
        return len(self._memories)

    def problem_ids(self) -> Iterable[str]:
        """All, in the order of admission."""
        return self._memories.keys()

    def families(self) -> tuple[FamilySummary, ...]:
        """All families, in the order of their first problem."""
        return tuple(self.family(name) for name in self._families.names())

    def family(self, family: str) -> FamilySummary:
        return self._families.summary(family, self.step, self.version)

    def family_members(self, family: str) -> Pool:
        return self._families.members(family)

    def family_names(self) -> Sequence[str]:
        """All families, in the order of their first problem. To be read only."""
        return self._families.names()

    def child_values(self) -> tuple[Floats, Floats]:
        """`child_value` of every family, in the order of `family_names`."""
        return self._families.child_values(self.version)

    def nearness_of_all(self) -> Floats:
        """`nearness` of every family's level, in the order of `family_names`."""
        return self._families.nearness_of_all(self.version)

    def families_at_risk(self) -> tuple[tuple[str, float], ...]:
        """(family, risk) of those that were known once and are at risk of being forgotten."""
        return self._families.at_risk(self.step, self.version)

    def signal_rate(self, of_new: bool) -> float:
        """Recent share of groups with a signal (some right, some wrong), among new problems or among replays."""
        return beta_mean(*self._signals[of_new].at(self.version, self._fast))

    def flat_worth(self) -> float:
        """Recent mean learnability of replays of which the group before had taught nothing: what a place is worth that
        goes to one of them."""
        return beta_mean(*self._flat_again.at(self.version, self._fast))

    def frontier(self) -> int:
        """The highest level that is reached (families.py says when one is); 0 if none is."""
        return self._families.frontier(self.version)

    def reach(self) -> int:
        """Up to this level there is no gap; the frontier may lie beyond one. A level that was reached and is no longer
        practised is none."""
        return self._families.reach(self.version)

    def nearness(self, level: int) -> float:
        """1 up to `reach`, halved by every level beyond it: what comes first carries what comes later."""
        return self._families.nearness(level, self.version)

    def state_counts(self) -> Mapping[ProblemState, int]:
        return {state: len(pool) for state, pool in self._pools.items()}

    def _admit(self, problem: Problem, step: int) -> None:
        if problem.problem_id in self._memories:
            raise ValueError(f"problem {problem.problem_id} was admitted twice")
        self._memories[problem.problem_id] = _Memory(problem, step)
        self._families.enrol(problem.family, problem.level, problem.problem_id)
        self._pools[ProblemState.NEW].add(problem.problem_id)
        if problem.origin is Origin.SEED:
            self._seeds.add(problem.problem_id)

    def _prior(self, problem: Problem) -> tuple[float, float]:
        """(mean, strength) of what is believed of an untried problem like it."""
        key = problem.family, problem.level
        if key not in self._untried:
            self._untried[key] = self.predicted_rate(*key), self._strength(self.version)
        return self._untried[key]

    def _learnabilities(self, problem_id: str) -> tuple[float, float]:
        """Posterior means of 4 p (1 - p): of the problem as of its last attempts, and of an untried one like it."""
        memory = self._memories[problem_id]
        prior, strength = self._prior(memory.problem)
        hits, misses = memory.counts.hits, memory.counts.misses
        now = beta_learnability(beta_mean(hits, misses, prior, strength), strength + hits + misses)
        return now, beta_learnability(prior, strength)

    def _strength(self, version: int) -> float:
        """Attempts that a family's rate counts for in its problems', as far as problems of a family are alike.

        If pass rates in a family are Beta with mean m and strength s, E[4 p (1 - p)] = 4 m (1 - m) s / (s + 1). The
        quotient s / (s + 1) is measured on problems' first groups, from which nobody had chosen yet: where each is
        always solved or never it is 0, and one group then says all of a problem.
        """
        alike = beta_mean(*self._alike.at(version, self._fast), _MOST_STRENGTH / (1.0 + _MOST_STRENGTH))
        return min(_MOST_STRENGTH, alike / max(1.0 - alike, 1e-9))

    def _observe_alike(self, memory: _Memory, rate: PassRate) -> None:
        n, k = rate.attempts, rate.successes
        if memory.observations or n < 2:
            return
        family = memory.problem.family
        expected = learnability(self._families.rate(family, memory.problem.level, rate.policy_version))
        found = 4.0 * k * (n - k) / (n * (n - 1))  # of which the mean is 4 p (1 - p)
        self._alike.add(found, expected - found, rate.policy_version, self._fast)

    def _observe_rate(self, rate: PassRate, step: int, is_new: bool) -> None:
        memory = self._memories[rate.problem_id]
        self._observe_alike(memory, rate)
        is_first = memory.observations == 0
        failures = rate.attempts - rate.successes
        version, forgetting = rate.policy_version, self._forgetting
        memory.attempts += rate.attempts
        memory.successes += rate.successes
        memory.observations += 1
        memory.last_step = step
        memory.failures_in_row = 0 if rate.successes else memory.failures_in_row + rate.attempts
        memory.counts.add(rate.successes, failures, version, forgetting)
        memory.after_right.add(rate.kept, rate.broken, version, forgetting)
        memory.after_wrong.add(rate.fixed, rate.missed, version, forgetting)
        self._second_looks[True].add(rate.kept, rate.broken, version, self._fast)
        self._second_looks[False].add(rate.fixed, rate.missed, version, self._fast)
        has_signal = 0 < rate.successes < rate.attempts
        if not is_first and rate.problem_id not in self._lively:
            value = learnability(rate.successes / rate.attempts)
            self._flat_again.add(value, 1.0 - value, version, self._fast)
        (self._lively.add if has_signal else self._lively.discard)(rate.problem_id)
        self._signals[is_new].add(has_signal, not has_signal, version, self._fast)
        problem = memory.problem
        self._families.observe(problem.family, problem.level, step, version, rate.attempts, rate.successes, is_first)
        parent = self._memories.get(problem.parent_id) if is_new and problem.parent_id else None
        if parent is not None:
            value = learnability(rate.successes / rate.attempts)
            self._families.observe_child(parent.problem.family, value, version)
        self._bank(memory, rate, step)
        self._move(memory, rate)

    def _observe_proposal(self, proposal: Proposal, version: int) -> None:
        """A family is known by what is posed in it, and as a parent by what becomes of its children: one whose children
        are rejected is as little worth escalating as one whose children teach nothing."""
        posed = self._memories.get(proposal.problem_id) if proposal.problem_id else None
        if posed is not None:
            self._families.observe_proposed(posed.problem.family, proposal.fate is Fate.ACCEPTED, version)
        parent = self._memories.get(proposal.parent_id)
        if parent is None:
            return
        parent.escalations += 1
        is_valid_and_new = proposal.fate in (Fate.ACCEPTED, Fate.SURPLUS)
        self._families.observe_fate(parent.problem.family, is_valid_and_new, version)

    def _bank(self, memory: _Memory, rate: PassRate, step: int) -> None:
        """Into the bank with too few successes; out of it with the next group, which is never banked again itself."""
        was_banked = memory.banked_step is not None
        if is_banked(rate.successes, self.settings.least_successes, was_banked):
            memory.banked_step = step
            self._banked.add(rate.problem_id)
        else:
            memory.banked_step = None
            self._banked.discard(rate.problem_id)

    def _move(self, memory: _Memory, rate: PassRate) -> None:
        family, level, version = memory.problem.family, memory.problem.level, rate.policy_version
        newest = rate.successes / rate.attempts
        prior = self._families.rate(family, level, version)
        mean = beta_mean(*memory.counts.at(version, self._forgetting), prior, self._strength(version))
        memory.predicted = prior
        is_high = mean > MASTERED_MEAN and newest >= FALLEN_RATE
        memory.mastered_streak = memory.mastered_streak + 1 if is_high else 0
        evidence = Evidence(
            groups=memory.attempts / self.settings.group_size,
            observations=memory.observations,
            groups_failed=memory.failures_in_row / self.settings.group_size,
            mastered_streak=memory.mastered_streak,
            newest_rate=newest,
            family_mastered=self._families.is_mastered(family, version),
        )
        state = next_state(memory.state, evidence)
        if state is not memory.state:
            self._pools[memory.state].discard(memory.problem.problem_id)
            self._pools[state].add(memory.problem.problem_id)
            memory.state = state
