"""From rewards to advantages: group baselines without division by the deviation, apart by role, turn and group.

Dividing by a group's standard deviation pays a rare lucky success sqrt(G) times over (algorithms.md 9); these only
subtract a mean. A later turn's baseline conditions on how the first one went: with a plain group mean, an answer
kept right beside one mended would be punished.

A mean that holds the sample itself shrinks the expected gradient to (n - 1) / n of what it is. For a group of N that is
one factor for all, (N - 1) / N, and "centred" leaves it there; strata are of different sizes, so theirs is taken out.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from roles.pay.rewards import correction_reward

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
    """Advantages within each stratum, of N rewards in all.

    In a stratum of n: c n / (n - 1) (r - mean of the stratum), that is c (r - mean of the others in it); one that is
    alone: c (r - what is `expected` of it, by its index), and without that 0, for nothing is like it. c = 1 ("rloo") or
    (N - 1) / N ("centred"): so the expected gradient of every stratum, whatever its size, is c times the exact one, as
    it is for a group without strata.
    """
    advantages = [0.0] * len(rewards)
    total = len(rewards)
    for stratum in sorted(set(strata)):
        members = [i for i, each in enumerate(strata) if each == stratum]
        if len(members) == 1 and expected is not None:
            scale = 1.0 if rule == "rloo" else (total - 1) / total if total > 1 else 1.0
            advantages[members[0]] = scale * (rewards[members[0]] - expected(members[0]))
            continue
        n = len(members)
        own = group_advantages([rewards[i] for i in members], "centred")
        if n > 1:
            scale = n / (n - 1) if rule == "rloo" else n * (total - 1) / ((n - 1) * total)
            for i, advantage in zip(members, own, strict=True):
                advantages[i] = scale * advantage
    return advantages


def shared_advantages(owners: Sequence[int], rewards: Sequence[float], rule: AdvantageRule) -> list[float]:
    """`group_advantages` of what several rewards belong to, each paid the mean of its own; given back to every one.

    `owners[i]` says whose reward i is: looks at one first try share it, and it is no baseline of its own. Of four first
    tries, one right, with two looks at each, "rloo" gives the right one 1 - 0, not 1 - (1 + 6 * 0) / 7.
    """
    paid: dict[int, list[float]] = {}
    for owner, reward in zip(owners, rewards, strict=True):
        paid.setdefault(owner, []).append(reward)
    means = [sum(each) / len(each) for each in paid.values()]
    advantages = dict(zip(paid, group_advantages(means, rule), strict=True))
    return [advantages[owner] for owner in owners]


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
