"""What a group of attempts teaches the solver: rewards, advantages, trained samples.

- First tries that are all paid alike have no gradient. Those with too few successes are banked: the curriculum tries
  the problem again with more attempts, and they are not trained on now.
- Second turns are compared within strata of equal first turns.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from roles.judging.groups import JudgedAttempt, JudgedGroup
from roles.judging.rewards import RESERVED
from roles.pay.advantages import (
    SecondLookRate,
    has_signal,
    second_look_advantages,
    second_look_rewards,
    shared_advantages,
)
from roles.pay.formats import format_advantages
from roles.pay.rewards import correction_bonus
from roles.requests import Sampled
from roles.solver import REPORT_LABEL, turn_label
from selfplay.learn.batch import TrainSample
from selfplay.learn.reports import ReportPay, report_advantages, report_terms, with_report_terms
from selfplay.learn.scaling import scaled_by_group
from selfplay.learn.settings import LearningSettings

CORRECTION_PART, REPORT_PART = RESERVED


@dataclass(frozen=True, slots=True)
class SolverLesson:
    """What one group teaches. `paid[i][k]`: what turn k of attempt i was paid (None if unjudged), which is the sum of
    `parts[i][k]`: names and weighted shares, those of the correction bonus and of a report among them."""

    group: JudgedGroup
    paid: tuple[tuple[float | None, ...], ...]
    parts: tuple[tuple[Mapping[str, float], ...], ...]
    samples: tuple[TrainSample, ...]
    is_mixed: bool  # first tries were paid differently

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
    formats: Sequence[str] | None = None,
) -> SolverLesson:
    """Advantages of every turn. `rate`: P(second look right | problem, first right), a running estimate.

    `banked`: its first tries have too few successes to learn from; later turns have baselines of their own.
    `pay`: what a report is paid, where one is trained. `formats`: that of the first try of each judged attempt, which
    `LearningSettings.baseline` may need.
    """
    judged = group.judged
    firsts = [attempt.rewards()[0] for attempt in judged]
    paid = {attempt.index: list[float]() for attempt in judged}
    parts = {attempt.index: list[Mapping[str, float]]() for attempt in judged}
    samples: list[TrainSample] = []
    num_turns = max((len(attempt.turns) for attempt in judged), default=0)
    for turn in range(num_turns):
        rewards, advantages = _turn_advantages(
            group, turn, lambda r: rate(group.problem.problem_id, r), settings, formats
        )
        if pay is not None and turn == num_turns - 1:
            rewards, advantages = with_report_terms(judged, rewards, advantages, pay, settings.advantage)
        if settings.scale == "group":
            advantages = scaled_by_group(advantages, rewards)
        terms = report_terms(judged, pay) if pay is not None and pay.is_shared and turn == num_turns - 1 else None
        for place, (attempt, reward) in enumerate(zip(judged, rewards, strict=True)):
            paid[attempt.index].append(reward)
            parts[attempt.index].append(
                _parts(attempt, turn, settings) | ({} if terms is None else {REPORT_PART: terms[place]})
            )
        sampled = [attempt.turns[turn].sampled for attempt in judged]
        is_kept = has_signal(advantages) and not (banked and turn == 0)
        samples += train_samples(turn_label(turn), sampled, advantages, is_kept, settings.kl_labels)
    if pay is not None:
        sampled = [attempt.report.sampled for attempt in judged if attempt.report is not None]
        advantages = report_advantages(judged, pay, settings.advantage)
        if settings.scale == "group":
            advantages = scaled_by_group(advantages, report_terms(judged, pay))
        samples += train_samples(REPORT_LABEL, sampled, advantages, has_signal(advantages), settings.kl_labels)
    return SolverLesson(
        group=group,
        paid=tuple(tuple(paid.get(a.index, [None] * len(a.turns))) for a in group.attempts),
        parts=tuple(tuple(parts.get(a.index, [{}] * len(a.turns))) for a in group.attempts),
        samples=tuple(samples),
        is_mixed=len(set(firsts)) > 1,
    )


def _turn_advantages(
    group: JudgedGroup,
    turn: int,
    rate: SecondLookRate,
    settings: LearningSettings,
    formats: Sequence[str] | None,
) -> tuple[list[float], list[float]]:
    """(rewards, advantages) of a turn, one each for every judged attempt."""
    rewards = [attempt.rewards() for attempt in group.judged]
    if turn == 0:
        own = [r[0] if settings.first_turn_reward == "own" else r[-1] for r in rewards]
        owners = [a.index // group.looks for a in group.judged]
        if settings.baseline == "format" and formats is not None:
            return own, format_advantages(owners, own, formats, settings.advantage)
        return own, shared_advantages(owners, own, settings.advantage)
    pairs = [(r[turn - 1], r[turn]) for r in rewards]
    bonus = settings.correction_bonus
    siblings = [a.index // group.looks for a in group.judged] if turn == 1 and group.looks > 1 else None
    was_right = [a.turns[turn - 1].is_right for a in group.judged]
    advantages = second_look_advantages(
        pairs, bonus, settings.advantage, rate, siblings, was_right, settings.right_pays
    )
    return second_look_rewards(pairs, bonus), advantages


def _parts(attempt: JudgedAttempt, turn: int, settings: LearningSettings) -> dict[str, float]:
    """What a turn is paid, by name: the reward's parts and, of a later turn, the correction bonus."""
    if turn == 0:
        return dict(attempt.turns[0 if settings.first_turn_reward == "own" else -1].parts)
    before, after = attempt.rewards()[turn - 1 : turn + 1]
    bonus = correction_bonus(before, after, settings.correction_bonus)
    return dict(attempt.turns[turn].parts) | ({CORRECTION_PART: bonus} if settings.correction_bonus else {})


def train_samples(
    label: str, sampled: Sequence[Sampled], advantages: Sequence[float], is_kept: bool, kl_labels: Collection[str]
) -> list[TrainSample]:
    """One for each completion. A group that teaches nothing has none, unless a KL reads all tokens of its label."""
    if not is_kept and label not in kl_labels:
        return []
    return [
        TrainSample(label, each.node, len(each.completion.ids), advantage if is_kept else 0.0, is_kept)
        for each, advantage in zip(sampled, advantages, strict=True)
    ]
