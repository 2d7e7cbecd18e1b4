"""The curriculum's memory: how hard each problem is now, folded over the stored history.

Tracker is a pure fold: rebuilding it from `Store.history()` gives the same numbers, bit for bit, as having kept it.
Snapshots of it are stored (curriculum/tracking/snapshot.py). It has no clock and no generator, and reading changes
nothing. Left out: difficulty models of single problems (item response theory); what problems share, families hold.

Formulas, and where the numbers are from: docs/curriculum.md.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from curriculum.settings import CurriculumSettings, ForecastRule
from curriculum.tracking.columns import Floats
from curriculum.tracking.families import Families, FamilyMemory, FamilySummary, LevelMemory
from curriculum.tracking.features import NamedFeatures, Parent, features, logit
from curriculum.tracking.foretelling import Described, Foretelling
from curriculum.tracking.learned import Held
from curriculum.tracking.pool import Pool
from curriculum.tracking.posterior import Counts, beta_learnability, beta_mean, learnability
from curriculum.tracking.states import FALLEN_RATE, MASTERED_MEAN, Evidence, is_banked, next_state
from store.records import Fate, Origin, PassRate, Problem, ProblemState, Proposal, StepCommit, StepHistory

MOST_STRENGTH = 2.0  # attempts that a family's rate weighs in a problem's, at most: as in Beta(1, 1)
_GAIN_STRENGTH = 4.0  # right tries, and as many wrong ones, that speak against a gain
TRIED_STRENGTH = 4.0  # tries that what was seen of a problem weighs, at most: it was practised since
_SECOND_LOOK_STRENGTH = 4.0  # second looks that the pooled rate weighs in a problem's


@dataclass(slots=True)
class _Memory:
    """What is known of one problem."""

    problem: Problem
    admitted_step: int
    state: ProblemState = ProblemState.NEW
    counts: Counts = field(default_factory=Counts)
    after_right: Counts = field(default_factory=Counts)  # second looks: hits kept, misses broken
    after_wrong: Counts = field(default_factory=Counts)  # hits fixed, misses missed
    attempts: int = 0
    successes: int = 0
    observations: int = 0
    failures_in_row: int = 0
    mastered_streak: int = 0
    last_step: int | None = None
    banked_step: int | None = None
    escalations: int = 0  # proposals whose parent it is
    predicted: float = 0.0  # its family's rate when it was last attempted


def moved(rate: float, ratio: float) -> float:
    """The rate whose odds are `ratio` times those of `rate`."""
    return rate * ratio / (rate * ratio + 1.0 - rate)


_FAMILIES, _FORETELLING = "_families", "_foretelling"  # what has a `state_of_fold` of its own
_NOT_FOLDED = {"settings", "_forgetting", "_fast", "_untried", "_named", _FAMILIES, _FORETELLING}
KEPT_CLASSES: Mapping[str, type] = {  # what `Tracker.state_of_fold` is made of, besides numbers, texts and series
    each.__name__: each for each in (_Memory, Problem, Counts, FamilyMemory, Held, LevelMemory, ProblemState, Origin)
}


class Tracker:
    """What is known after the steps observed so far. An unknown problem_id raises KeyError everywhere. `named`: what
    the domain says of a problem before it is tried."""

    def __init__(self, settings: CurriculumSettings, named: NamedFeatures = lambda problem: {}) -> None:
        self.step = 0  # the last observed step
        self.version = 0  # the policy version it made: the one that rates are given for
        self.settings = settings
        self._forgetting = settings.forgetting  # of what is known of one problem
        self._fast = settings.family_forgetting  # of what is known of families and of the whole run
        self._memories: dict[str, _Memory] = {}
        self._untried: dict[tuple[str, int], tuple[float, float]] = {}  # of family and level: a cache
        self._families = Families(settings)
        self._named = named
        self._foretelling = Foretelling(settings.family_forgetting)
        self._pools = {state: Pool() for state in ProblemState}
        self._after_flat = Counts()  # of replays whose group before taught nothing: hits L, misses 1 - L
        self._mixed = Pool()  # problems whose latest group had a signal
        self._seeds = Pool()
        self._banked = Pool()
        self._second_looks = {True: Counts(), False: Counts()}  # right or wrong, by whether the first try was right
        self._signals = {True: Counts(), False: Counts()}  # groups with a signal or none, by whether the problem is new
        # tries at problems that were tried before: right and wrong ones, as they came and as their rates foretold them
        self._came, self._foretold = Counts(), Counts()
        self._within = Counts()  # of first groups: hits the learnability found, misses what was expected less that

    def observe(self, history: StepHistory) -> None:
        """Folds one step in. ValueError unless steps come in order, each once.

        The order of problems and pass rates inside a step does not matter: floats are summed in the order of ids.
        """
        if history.step < self.step or (history.step == self.step and self._memories):
            raise ValueError(f"step {history.step} was observed after step {self.step}")
        foretold = {
            rate.problem_id: self._seen(rate.problem_id)[0]
            for rate in history.pass_rates
            if rate.attempts and rate.problem_id in self._memories and self._memories[rate.problem_id].observations
        }
        fresh = {name: self._described(*each) for name, each in self.untried_in(history).items()}
        self._untried.clear()
        self._observe_pay(history)
        new = {problem.problem_id for problem in history.problems}
        for problem in sorted(history.problems, key=lambda problem: problem.problem_id):
            self._admit(problem, history.step)
        for rate in sorted(history.pass_rates, key=lambda rate: (rate.problem_id, rate.policy_version)):
            if rate.attempts:
                if rate.problem_id in fresh:
                    n, k = rate.attempts, rate.successes
                    self._foretelling.observe(fresh.pop(rate.problem_id), k, n, rate.policy_version)
                self._observe_gain(rate, foretold.get(rate.problem_id))
                self._observe_rate(rate, history.step, rate.problem_id in new)
        for proposal in history.proposals:
            self._observe_proposal(proposal, history.policy_version)
        self.step, self.version = history.step, history.policy_version

    def state_of_fold(self) -> dict[str, Any]:
        """All that was folded, as one value; the settings and what is derived are left out. To be read only."""
        own = {name: value for name, value in vars(self).items() if name not in _NOT_FOLDED}
        return own | {_FAMILIES: self._families.state_of_fold(), _FORETELLING: self._foretelling.state_of_fold()}

    def restore(self, state: dict[str, Any], step: int) -> bool:
        """Takes over what the `state_of_fold` of another tracker gave after `step`; this one has observed nothing yet.
        False, and nothing is done, if `state` is something else."""
        if self._memories or state.keys() != self.state_of_fold().keys() or state["step"] != step:
            return False
        self._families.restore(state[_FAMILIES])
        self._foretelling.restore(state[_FORETELLING])
        vars(self).update({name: value for name, value in state.items() if name not in (_FAMILIES, _FORETELLING)})
        return True

    def rate(self, problem_id: str) -> float:
        """What its first-try pass rate may be under the current policy, in (0, 1): the mean of `forecast`."""
        return self.forecast(self._memories[problem_id].problem)[0]

    def forecast(self, problem: Problem, logprob: float | None = None) -> tuple[float, float]:
        """(mean, strength in tries) of the Beta that its first-try pass rate is drawn from under the current policy.

        An untried problem, known or not, is foretold as `curriculum.forecast` says (`untried_forecast`). A tried one
        has p = (s m + k) / (s + n), of its discounted k of n and its family's rate m, which weighs s <= 2 tries
        (`_prior_strength`); it is moved by what problems gained of late from one group to the next, g (`gain`), and
        weighs at most 4 tries:

            p g / (p g + 1 - p)
        """
        if not self._is_tried(problem.problem_id):
            return self.untried_forecast(problem, self.settings.forecast, logprob)
        mean, strength = self._seen(problem.problem_id)
        return moved(mean, self.gain()), min(strength, TRIED_STRENGTH)

    def untried_forecast(
        self, problem: Problem, rule: ForecastRule, logprob: float | None = None
    ) -> tuple[float, float]:
        """(mean, strength in tries) of an untried problem's pass rate: its family's rate (beta), or what its features
        add to that (features, foretelling.py). `logprob`: of its text by the policy that proposed it, a mean over
        tokens, where that is known."""
        if rule == "beta":
            return self._prior(problem)
        return self._foretelling.forecast(self._described(problem, logprob), self.version)

    def untried_ratio(self, problem: Problem, logprob: float | None = None) -> float:
        """How many times as much its features let expect of its first group, E[4 p (1 - p)], as its family does; 1
        where untried problems are foretold by their family alone."""
        if self.settings.forecast == "beta":
            return 1.0
        return beta_learnability(*self.untried_forecast(problem, "features", logprob)) / beta_learnability(
            *self._prior(problem)
        )

    def gain(self) -> float:
        """By how much the odds of a right try have grown of late where a problem was tried again: the odds as they came
        over those that the problems' own rates foretold. About 1 where practice changes nothing."""
        right, wrong = self._came.at(self.version, self._fast)
        foretold_right, foretold_wrong = self._foretold.at(self.version, self._fast)
        s = _GAIN_STRENGTH
        return (right + s) * (foretold_wrong + s) / ((wrong + s) * (foretold_right + s))

    def learnability(self, problem_id: str) -> float:
        """w E[4 p (1 - p) | its attempts] + (1 - w) E[4 p (1 - p) | an untried problem like it], with w = gamma^age.

        It is what its next group may teach, in [0, 1]. Age is in policy versions since it was attempted.
        """
        now, untried = self._learnabilities(problem_id)
        counts = self._memories[problem_id].counts
        weight = self._forgetting ** max(0, self.version - counts.version)
        return weight * now + (1.0 - weight) * untried

    def is_promising(self, problem_id: str) -> bool:
        """E[4 p (1 - p) | its attempts] >= E[4 p (1 - p) | an untried problem like it]: whether it may teach as much as
        an untried one. Age plays no part, so what was always solved, or never, does not become promising by waiting."""
        now, untried = self._learnabilities(problem_id)
        return now >= untried

    def is_better_now(self, problem_id: str) -> bool:
        """Whether its family is solved more often than when it was last attempted."""
        memory = self._memories[problem_id]
        return self.predicted_rate(memory.problem.family, memory.problem.level) > memory.predicted

    def predicted_rate(self, family: str, level: int) -> float:
        """What an unseen problem's pass rate may be: `Families.rate`."""
        return self._families.rate(family, level, self.version)

    def level_rate(self, level: int) -> float:
        """What an unseen problem's pass rate may be, of which the level alone is known."""
        return self._families.level_rate(level, self.version)

    def drawn_learnability(self, family: str, level: int, rng: random.Random) -> float:
        """A draw from the posterior of what an unseen problem's group may teach, in [0, 1]: the wider, the less of the
        family was seen of late (`Families.drawn_learnability`)."""
        return self._families.drawn_learnability(family, level, self.version, rng)

    def credit(self, family: str) -> float:
        """What was learned of the family and not paid to the challenger yet, in [-1, 1]: `Held.credit`."""
        return self._families.credit(family)

    def unseen_mass(self, family: str) -> float:
        """P(the next proposal of this family is new), in (0, 1): how far the family is from exhausted."""
        return self._families.unseen_mass(family, self.version)

    def second_look_rate(self, problem_id: str, was_right: bool) -> float:
        """(4 m + k) / (4 + n): P(second look right | problem, first try right or wrong), in (0, 1).

        k of n are the problem's own discounted second looks after such a first try, m is the pooled rate of all
        problems. A problem that is not admitted yet has m: this alone does not raise KeyError.
        """
        everywhere = beta_mean(*self._second_looks[was_right].at(self.version, self._fast))
        memory = self._memories.get(problem_id)
        if memory is None:
            return everywhere
        own = memory.after_right if was_right else memory.after_wrong
        return beta_mean(*own.at(self.version, self._forgetting), everywhere, _SECOND_LOOK_STRENGTH)

    def untried_in(self, step: StepHistory | StepCommit) -> dict[str, tuple[Problem, float | None]]:
        """Of a step that was not observed, the problems whose first groups it has, by id and in its order: each with
        the mean log-probability of a token of its proposal, where it was proposed in the step."""
        new = {problem.problem_id: problem for problem in step.problems}
        said = {each.problem_id: each.logprob for each in step.proposals if each.fate is Fate.ACCEPTED}
        ids = sorted({rate.problem_id for rate in step.pass_rates if rate.attempts})
        return {
            each: (new[each] if each in new else self.problem(each), said.get(each))
            for each in ids
            if not self._is_tried(each) and (each in new or each in self._memories)
        }

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
        """Whether a group with so many right first tries goes into the bank (`is_banked` of states.py). A problem that
        is not admitted yet has never been there."""
        memory = self._memories.get(problem_id)
        was_banked = memory is not None and memory.banked_step is not None
        return is_banked(successes, self.settings.least_successes, was_banked)

    def members(self, state: ProblemState) -> Pool:
        """The problems in a state. To be read only."""
        return self._pools[state]

    @property
    def mixed(self) -> Pool:
        """Problems whose latest group had a signal: the verdicts told its first tries apart. To be read only."""
        return self._mixed

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

    def newest(self, count: int) -> list[Problem]:
        """The last `count` problems that were admitted, in the order of admission. It looks at no others."""
        last = [self._memories[problem_id].problem for problem_id in islice(reversed(self._memories), count)]
        return last[::-1]

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
        """(P(valid and new) times mean learnability of children, discounted number of proposals) of each family as a
        parent, in the order of `family_names`."""
        return self._families.child_values(self.version)

    def level_discounts(self) -> Floats:
        """`level_discount` of each family's level, in the order of `family_names`."""
        return self._families.level_discounts(self.version)

    def families_at_risk(self) -> tuple[tuple[str, float], ...]:
        """(family, risk) of families that were known once, where the risk of their being forgotten is above 0."""
        return self._families.at_risk(self.step, self.version)

    def signal_rate(self, of_new: bool) -> float:
        """(1 + s) / (2 + n): the recent share of groups with right and wrong attempts, or with graded ones, s of n
        discounted groups of new problems, or of replays."""
        return beta_mean(*self._signals[of_new].at(self.version, self._fast))

    def flat_learnability(self) -> float:
        """Mean learnability of recent replays whose group before had no signal: what a place of the step teaches that
        is given to such a problem."""
        return beta_mean(*self._after_flat.at(self.version, self._fast))

    def frontier(self) -> int:
        """The highest level that is reached (families.py says when one is); 0 if none is."""
        return self._families.frontier(self.version)

    def gapless_level(self) -> int:
        """The highest level below the first gap. A gap is a tried level that is not reached, other than one that was
        reached before and is no longer practised. The frontier may lie above a gap."""
        return self._families.gapless_level(self.version)

    def level_discount(self, level: int) -> float:
        """0.5^max(0, level - gapless level)."""
        return self._families.level_discount(level, self.version)

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
        """(mean m, strength s) of the Beta prior of an untried problem like it."""
        key = problem.family, problem.level
        if key not in self._untried:
            self._untried[key] = self.predicted_rate(*key), self._prior_strength(self.version)
        return self._untried[key]

    def _is_tried(self, problem_id: str) -> bool:
        memory = self._memories.get(problem_id)
        return memory is not None and memory.observations > 0

    def _described(self, problem: Problem, logprob: float | None) -> Described:
        """An untried problem as it is known now, whether it was admitted or not."""
        rate = self.predicted_rate(problem.family, problem.level)
        parent = None
        if problem.parent_id is not None and problem.parent_id in self._memories:
            before = self.problem(problem.parent_id)
            is_tried = self._is_tried(before.problem_id)  # an untried one has its family's rate, and asks no parent
            parent = Parent(before, self.rate(before.problem_id) if is_tried else self._prior(before)[0])
        attempts = self._families.attempts(problem.family, self.version)
        return Described(features(problem, rate, attempts, parent, logprob, self._named(problem)), logit(rate))

    def _seen(self, problem_id: str) -> tuple[float, float]:
        """(mean, strength) of the posterior, from its own discounted tries and its family."""
        memory = self._memories[problem_id]
        prior, strength = self._prior(memory.problem)
        hits, misses = memory.counts.at(self.version, self._forgetting)
        return beta_mean(hits, misses, prior, strength), strength + hits + misses

    def _learnabilities(self, problem_id: str) -> tuple[float, float]:
        """E[4 p (1 - p)]: of the problem as of its last attempts, and of an untried one like it."""
        memory = self._memories[problem_id]
        prior, strength = self._prior(memory.problem)
        untried = beta_learnability(prior, strength)
        if not memory.observations:
            return untried, untried
        hits, misses = memory.counts.hits, memory.counts.misses
        mean = moved(beta_mean(hits, misses, prior, strength), self.gain())
        return beta_learnability(mean, min(strength + hits + misses, TRIED_STRENGTH)), untried

    def _prior_strength(self, version: int) -> float:
        """s = min(2, w / (1 - w)): how many attempts a family's rate weighs in its problems'.

        If pass rates of a family are Beta(m s, (1 - m) s), then E[4 p (1 - p)] = 4 m (1 - m) w with w = s / (s + 1).
        w is one less the intraclass correlation: 1 where problems of a family are alike, 0 where each is always solved
        or never. It is measured over all families, on first groups alone, for later ones were chosen by their results.
        """
        within = beta_mean(*self._within.at(version, self._fast), MOST_STRENGTH / (1.0 + MOST_STRENGTH))
        return min(MOST_STRENGTH, within / max(1.0 - within, 1e-9))

    def _observe_pay(self, history: StepHistory) -> None:
        """Books what the step has paid for what was learned: by the credit before it, once a family."""
        measured = {rate.problem_id for rate in history.pass_rates if rate.attempts}
        accepted = {each.problem_id for each in history.proposals if each.fate is Fate.ACCEPTED} & measured
        for family in dict.fromkeys(each.family for each in history.problems if each.problem_id in accepted):
            self._families.observe_pay(family)

    def _observe_gain(self, rate: PassRate, foretold: float | None) -> None:
        if foretold is None:
            return
        n, k = rate.attempts, rate.successes
        self._came.add(k, n - k, rate.policy_version, self._fast)
        self._foretold.add(n * foretold, n * (1.0 - foretold), rate.policy_version, self._fast)

    def _observe_within(self, memory: _Memory, rate: PassRate) -> None:
        n, k = rate.attempts, rate.successes
        if memory.observations or n < 2:
            return
        family = memory.problem.family
        expected = learnability(self._families.rate(family, memory.problem.level, rate.policy_version))
        found = 4.0 * k * (n - k) / (n * (n - 1))  # an unbiased estimate of 4 p (1 - p)
        self._within.add(found, expected - found, rate.policy_version, self._fast)

    def _observe_rate(self, rate: PassRate, step: int, is_new: bool) -> None:
        memory = self._memories[rate.problem_id]
        self._observe_within(memory, rate)
        is_first = memory.observations == 0
        failures = rate.attempts - rate.successes
        version, forgetting = rate.policy_version, self._forgetting
        memory.attempts += rate.attempts
        memory.successes += rate.successes
        memory.observations += 1
        memory.last_step = step
        memory.failures_in_row = 0 if rate.has_signal or rate.successes else memory.failures_in_row + rate.attempts
        memory.counts.add(rate.successes, failures, version, forgetting)
        memory.after_right.add(rate.kept, rate.broken, version, forgetting)
        memory.after_wrong.add(rate.fixed, rate.missed, version, forgetting)
        self._second_looks[True].add(rate.kept, rate.broken, version, self._fast)
        self._second_looks[False].add(rate.fixed, rate.missed, version, self._fast)
        if not is_first and rate.problem_id not in self._mixed:
            value = learnability(rate.successes / rate.attempts)
            self._after_flat.add(value, 1.0 - value, version, self._fast)
        (self._mixed.add if rate.has_signal else self._mixed.discard)(rate.problem_id)
        self._signals[is_new].add(rate.has_signal, not rate.has_signal, version, self._fast)
        problem = memory.problem
        self._families.observe(problem.family, problem.level, step, version, rate.attempts, rate.successes, is_first)
        parent = self._memories.get(problem.parent_id) if is_new and problem.parent_id else None
        if parent is not None:
            value = learnability(rate.successes / rate.attempts)
            self._families.observe_child(parent.problem.family, value, version)
        self._bank(memory, rate, step)
        self._move(memory, rate)

    def _observe_proposal(self, proposal: Proposal, version: int) -> None:
        """Counts what was proposed in its own family, and what became of it in its parent's family. SURPLUS counts as
        valid and new: that a step had no place for a proposal says nothing against its parent."""
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
        """Into the bank with too few successes, and out of it with the next group, which is never banked itself."""
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
        mean = beta_mean(*memory.counts.at(version, self._forgetting), prior, self._prior_strength(version))
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
