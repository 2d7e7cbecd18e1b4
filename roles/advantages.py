"""From rewards to advantages: group baselines without division by the deviation, apart by role, turn and group.

Dividing by a group's standard deviation pays a rare lucky success sqrt(G) times over (algorithms.md 9); these only
subtract a mean. A later turn's baseline conditions on how the first one went: with a plain group mean, an answer
kept right beside one mended would be punished.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from roles.rewards import correction_reward

AdvantageRule = Literal["centred", "rloo"]
SecondLookRate = Callable[[bool], float]  # P(second look right | first right or wrong), a running estimate


def group_advantages(rewards: Sequence[float], rule: AdvantageRule) -> list[float]:
    """r - mean ("centred", Dr.GRPO, arXiv 2503.20783) or r - mean of the others ("rloo"); zeros for a group of one."""
    n = len(rewards)
    if n < 2 or min(rewards) == max(rewards):  # exactly zero: the rounded mean of eight times -0.1 is not -0.1
        return [0.0] * n
    mean = sum(rewards) / n
    scale = n / (n - 1) if rule == "rloo" else 1.0
    return [scale * (r - mean) for r in rewards]


def has_signal(advantages: Sequence[float]) -> bool:
    """Whether a group pushes at all."""
    return any(advantage != 0.0 for advantage in advantages)


def stratified_advantages(
    strata: Sequence[float],
    rewards: Sequence[float],
    rule: AdvantageRule,
    expected: Callable[[int], float] | None = None,
) -> list[float]:
    """`group_advantages` within each stratum. One that is alone in its stratum is compared with what is `expected` of
    it, by its index, and without that gets 0: nothing is like it."""
    advantages = [0.0] * len(rewards)
    for stratum in sorted(set(strata)):
        members = [i for i, each in enumerate(strata) if each == stratum]
        if len(members) == 1 and expected is not None:
            advantages[members[0]] = rewards[members[0]] - expected(members[0])
            continue
        for i, advantage in zip(members, group_advantages([rewards[i] for i in members], rule), strict=True):
            advantages[i] = advantage
    return advantages


def second_look_rewards(pairs: Sequence[tuple[float, float]], alpha: float) -> list[float]:
    """What the later turn of each (before, after) is paid: `correction_reward`."""
    return [correction_reward(before, after, alpha) for before, after in pairs]


def second_look_advantages(
    pairs: Sequence[tuple[float, float]],
    alpha: float,
    rule: AdvantageRule,
    rate: SecondLookRate,
    siblings: Sequence[int] | None = None,
) -> list[float]:
    """Advantages of later turns, in strata of equal first reward, or of equal `siblings` where these are given.

    Attempts of one problem that began alike (right, or wrong) are compared with each other only; siblings are second
    looks at one and the same first try, and so each other's exact baseline. One that is alone in its stratum is
    compared with what the problem's running estimate `rate` expects:
    rate * (reward if right) + (1 - rate) * (reward if wrong).
    """

    def expected(index: int) -> float:
        before = pairs[index][0]
        p = rate(before > 0.5)
        return p * correction_reward(before, 1.0, alpha) + (1 - p) * correction_reward(before, 0.0, alpha)

    strata = [before for before, _ in pairs] if siblings is None else siblings
    return stratified_advantages(strata, second_look_rewards(pairs, alpha), rule, expected)
