"""From verdicts to what is learned: rewards, advantages, trained samples. Pure; no torch.

Which groups push, and by how much, is decided here and nowhere else:
- first tries all right or all wrong have no gradient; those with too few successes are banked (curriculum tries
  the problem again with more attempts) and not trained on now;
- second turns are compared within strata of equal first turns;
- a challenger is paid by the measured pass rate of what it posed; unmeasured proposals are in no group.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roles import challenger
from roles.challenger import ProposedGroup
from roles.judging.groups import JudgedGroup
from roles.pay.advantages import (
    AdvantageRule,
    SecondLookRate,
    group_advantages,
    has_signal,
    second_look_advantages,
    second_look_rewards,
    shared_advantages,
)
from roles.pay.rewards import ChallengerRule, challenger_reward
from roles.requests import Sampled
from roles.solver import REPORT_LABEL, turn_label
from selfplay.learn.batch import TrainSample
from selfplay.learn.reports import ReportPay, ReportRule, report_advantages, with_report_terms
from store.records import Fate

FirstTurnRule = Literal["own", "last"]


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """See the configuration's judge.*, challenger.* and train.* keys of the same names. `held`: labels whose every
    token a KL sees, also in groups that teach nothing."""

    advantage: AdvantageRule
    correction_bonus: float
    challenger_reward: ChallengerRule
    invalid_reward: float
    first_turn_reward: FirstTurnRule = "own"
    report_reward: ReportRule = "none"
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SolverLesson:
    """What one group teaches. `paid[i][k]`: what turn k of attempt i was paid (None if unjudged)."""

    group: JudgedGroup
    paid: tuple[tuple[float | None, ...], ...]
    samples: tuple[TrainSample, ...]
    is_mixed: bool  # first tries right and wrong both occurred

    @property
    def is_kept(self) -> bool:
        """Whether something of it is trained on."""
        return any(sample.is_kept for sample in self.samples)


def solver_lesson(
    group: JudgedGroup,
    banked: bool,
    rate: Callable[[str, bool], float],
    settings: LearningSettings,
    pay: ReportPay | None = None,
) -> SolverLesson:
    """Advantages of every turn. `rate`: P(second look right | problem, first right), a running estimate.

    `banked`: its first tries have too few successes to learn from; later turns have baselines of their own.
    `pay`: what a report is paid, where one is trained.
    """
    judged = group.judged
    firsts = [attempt.rewards()[0] for attempt in judged]
    paid = {attempt.index: list[float]() for attempt in judged}
    samples: list[TrainSample] = []
    num_turns = max((len(attempt.turns) for attempt in judged), default=0)
    for turn in range(num_turns):
        rewards, advantages = _turn_advantages(group, turn, lambda r: rate(group.problem.problem_id, r), settings)
        if pay is not None and turn == num_turns - 1:
            rewards, advantages = with_report_terms(judged, rewards, advantages, pay, settings.advantage)
        for attempt, reward in zip(judged, rewards, strict=True):
            paid[attempt.index].append(reward)
        said = [attempt.turns[turn].sampled for attempt in judged]
        is_kept = has_signal(advantages) and not (banked and turn == 0)
        samples += _train_samples(turn_label(turn), said, advantages, is_kept, settings.held)
    if pay is not None:
        said = [attempt.report.sampled for attempt in judged if attempt.report is not None]
        advantages = report_advantages(judged, pay, settings.advantage)
        samples += _train_samples(REPORT_LABEL, said, advantages, has_signal(advantages), settings.held)
    nothing = tuple(None for _ in group.attempts[0].turns) if group.attempts else ()
    return SolverLesson(
        group=group,
        paid=tuple(tuple(paid[a.index]) if a.index in paid else nothing for a in group.attempts),
        samples=tuple(samples),
        is_mixed=len(set(firsts)) > 1,
    )


def _turn_advantages(
    group: JudgedGroup, turn: int, rate: SecondLookRate, settings: LearningSettings
) -> tuple[list[float], list[float]]:
    """(rewards, advantages) of a turn, one each for every judged attempt."""
    rewards = [attempt.rewards() for attempt in group.judged]
    if turn == 0:
        own = [r[0] if settings.first_turn_reward == "own" else r[-1] for r in rewards]
        return own, shared_advantages([a.index // group.looks for a in group.judged], own, settings.advantage)
    pairs = [(r[turn - 1], r[turn]) for r in rewards]
    bonus = settings.correction_bonus
    siblings = [a.index // group.looks for a in group.judged] if turn == 1 and group.looks > 1 else None
    advantages = second_look_advantages(pairs, bonus, settings.advantage, rate, siblings)
    return second_look_rewards(pairs, bonus), advantages


def _train_samples(
    label: str, said: Sequence[Sampled], advantages: Sequence[float], is_kept: bool, held: Collection[str]
) -> list[TrainSample]:
    """One for each completion; none of a group that teaches nothing, unless its label is held by a KL."""
    if not is_kept and label not in held:
        return []
    return [
        TrainSample(label, each.node, len(each.completion.ids), advantage if is_kept else 0.0, is_kept)
        for each, advantage in zip(said, advantages, strict=True)
    ]


def measured_rate(group: JudgedGroup) -> float | None:
    """First-try pass rate by truth; None when nothing was judged."""
    right = [attempt.turns[0].is_right for attempt in group.first_tries]
    return sum(right) / len(right) if right else None


def proposal_reward(fate: Fate, rate: float | None, settings: LearningSettings) -> float | None:
    """ACCEPTED is paid by its pass rate (None if nobody could judge it), SURPLUS is unmeasured, a rejection is paid
    `invalid_reward`."""
    match fate:
        case Fate.ACCEPTED:
            return None if rate is None else challenger_reward(settings.challenger_reward, rate)
        case Fate.SURPLUS:
            return None
        case _:
            return settings.invalid_reward


def marginal_rewards(
    rewards: Mapping[tuple[int, int], float | None],
    fates: Mapping[tuple[int, int], tuple[Fate, str | None]],
    invalid_reward: float,
) -> dict[tuple[int, int], float | None]:
    """What the step would have lost without each proposal. One that was not measured stays unmeasured.

    Of n > 1 that say the same, one is paid r and the others `invalid_reward`: r + (n - 1) invalid_reward in all, and
    r + (n - 2) invalid_reward without any one of them. So the difference is `invalid_reward` for each, the accepted one
    too; for any other proposal it is its own reward.

    Paid as they are, proposals that say the same share one reward and are pushed up together, until a target is always
    answered alike; then all are rejected, and nothing pushes any more. Source: difference rewards, Wolpert and Tumer,
    "Optimal Payoff Functions for Members of Collectives" (2001). `rewards` and `fates` by (target, index).
    """
    repeated = {problem_id for fate, problem_id in fates.values() if fate is Fate.DUPLICATE}

    def is_repeated(key: tuple[int, int]) -> bool:
        fate, problem_id = fates[key]
        return fate is Fate.ACCEPTED and problem_id in repeated

    return {
        key: invalid_reward if reward is not None and is_repeated(key) else reward for key, reward in rewards.items()
    }


def challenger_samples(
    groups: Sequence[ProposedGroup],
    rewards: Mapping[tuple[int, int], float | None],
    fates: Mapping[tuple[int, int], tuple[Fate, str | None]],
    rule: AdvantageRule,
    invalid_reward: float,
    held: Collection[str] = (),
) -> list[TrainSample]:
    """Advantages of proposals by their marginal rewards, each target a group of its own; all by (target, index)."""
    samples: list[TrainSample] = []
    marginal = marginal_rewards(rewards, fates, invalid_reward)
    for group in groups:
        paid = [(said, marginal[group.target, i]) for i, said in enumerate(group.proposals)]
        measured = [(said, reward) for said, reward in paid if reward is not None]
        advantages = group_advantages([reward for _, reward in measured], rule)
        said = [each for each, _ in measured]
        samples += _train_samples(challenger.LABEL, said, advantages, has_signal(advantages), held)
        unmeasured = [each for each, reward in paid if reward is None]
        samples += _train_samples(challenger.LABEL, unmeasured, [0.0] * len(unmeasured), False, held)
    return samples
