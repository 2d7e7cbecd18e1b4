"""From verdicts to what is learned: rewards, advantages, trained samples. Pure; no torch.

Which groups push, and by how much, is decided here and nowhere else:
- first tries all right or all wrong have no gradient; those with too few successes are banked (curriculum tries
  the problem again with more attempts) and not trained on now;
- second turns are compared within strata of equal first turns;
- a challenger is paid by the measured pass rate of what it posed; unmeasured proposals are in no group.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from roles import challenger
from roles.advantages import (
    AdvantageRule,
    group_advantages,
    has_signal,
    second_look_advantages,
    second_look_rewards,
)
from roles.challenger import ProposedGroup
from roles.judge import JudgedGroup
from roles.rewards import ChallengerRule, challenger_reward
from roles.solver import turn_label
from selfplay.train.batch import TrainSample
from store.records import Fate, Outcome


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """See the configuration's judge.*, challenger.* and train.* keys of the same names."""

    advantage: AdvantageRule
    correction_bonus: float
    challenger_reward: ChallengerRule
    invalid_reward: float


@dataclass(frozen=True, slots=True)
class SolverLesson:
    """What one group teaches. `paid[i][k]`: what turn k of attempt i was paid (None if unjudged)."""

    group: JudgedGroup
    paid: tuple[tuple[float | None, ...], ...]
    samples: tuple[TrainSample, ...]
    is_mixed: bool  # first tries right and wrong both occurred
    is_kept: bool  # something of it is trained on


def solver_lesson(
    group: JudgedGroup,
    banked: bool,
    rate: Callable[[str, bool], float],
    settings: LearningSettings,
) -> SolverLesson:
    """Advantages of every turn. `rate`: P(second look right | problem, first right), a running estimate.

    `banked`: its first tries have too few successes to learn from; later turns have baselines of their own.
    """
    judged = group.judged
    rewards = [attempt.rewards() for attempt in judged]
    firsts = [r[0] for r in rewards]
    samples: list[TrainSample] = []
    paid = {attempt.index: list(r) for attempt, r in zip(judged, rewards, strict=True)}
    for turn in range(max((len(r) for r in rewards), default=0)):
        if turn == 0:
            advantages = group_advantages(firsts, settings.advantage)
        else:
            pairs = [(r[turn - 1], r[turn]) for r in rewards]
            for attempt, value in zip(judged, second_look_rewards(pairs, settings.correction_bonus), strict=True):
                paid[attempt.index][turn] = value
            advantages = second_look_advantages(
                pairs, settings.correction_bonus, settings.advantage, lambda r: rate(group.problem.problem_id, r)
            )
        if (banked and turn == 0) or not has_signal(advantages):
            continue
        for attempt, advantage in zip(judged, advantages, strict=True):
            said = attempt.turns[turn].sampled
            samples.append(TrainSample(turn_label(turn), said.node, len(said.completion.ids), advantage))
    nothing = tuple(None for _ in group.attempts[0].turns) if group.attempts else ()
    return SolverLesson(
        group=group,
        paid=tuple(tuple(paid[a.index]) if a.index in paid else nothing for a in group.attempts),
        samples=tuple(samples),
        is_mixed=len(set(firsts)) > 1,
        is_kept=bool(samples),
    )


def measured_rate(group: JudgedGroup) -> float | None:
    """First-try pass rate by truth; None when nothing was judged."""
    right = [attempt.turns[0].outcome is Outcome.CORRECT for attempt in group.judged]
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


def challenger_samples(
    groups: Sequence[ProposedGroup], rewards: Mapping[tuple[int, int], float | None], rule: AdvantageRule
) -> list[TrainSample]:
    """Advantages of proposals, each target a group of its own; rewards by (target, index)."""
    samples: list[TrainSample] = []
    for group in groups:
        paid = [(said, rewards[group.target, i]) for i, said in enumerate(group.proposals)]
        measured = [(said, reward) for said, reward in paid if reward is not None]
        advantages = group_advantages([reward for _, reward in measured], rule)
        if has_signal(advantages):
            samples += [
                TrainSample(challenger.LABEL, said.node, len(said.completion.ids), advantage)
                for (said, _), advantage in zip(measured, advantages, strict=True)
            ]
    return samples


def share(flags: Collection[bool]) -> float:
    """Share of True; 0 for nothing."""
    return sum(flags) / len(flags) if flags else 0.0
