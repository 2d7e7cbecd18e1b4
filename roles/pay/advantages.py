"""From rewards to advantages: each role, turn and group has a baseline of its own, which is subtracted.

Nothing is divided by a group's standard deviation. In a group of G with one success it is about 1 / sqrt(G), and the
division would pay a lucky success sqrt(G) times over. The baseline of a later turn depends on the first one's reward:
with the plain mean of the group, an answer that was right and stayed right is punished beside one that was corrected.

A mean that includes the sample itself shrinks the expected gradient by the factor (n - 1) / n. In a group of N that is
one factor for all, and "centred" leaves it. Strata differ in size, so in them the factor is made the same for all.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from roles.pay.rewards import correction_reward

AdvantageRule = Literal["centred", "rloo"]
SecondLookRate = Callable[[bool], float]  # P(second look right | first right or wrong), a running estimate


def group_advantages(rewards: Sequence[float], rule: AdvantageRule) -> list[float]:
    """r - mean ("centred", Dr.GRPO, arXiv 2503.20783) or r - mean of the others ("rloo"); 0 in a group of one."""
    n = len(rewards)
    if n < 2 or min(rewards) == max(rewards):  # exactly zero: the rounded mean of eight times -0.1 is not -0.1
        return [0.0] * n
    mean = sum(rewards) / n
    scale = n / (n - 1) if rule == "rloo" else 1.0
    return [scale * (r - mean) for r in rewards]


def has_signal(advantages: Sequence[float]) -> bool:
    """Whether any advantage of a group is not 0."""
    return any(advantage != 0.0 for advantage in advantages)


def stratified_advantages(
    strata: Sequence[float],
    rewards: Sequence[float],
    rule: AdvantageRule,
    expected: Callable[[int], float] | None = None,
) -> list[float]:
    """Advantages of N rewards, each compared within its stratum.

        c (r - mean of the others in the stratum), with c = 1 ("rloo") or (N - 1) / N ("centred")
        c (r - expected(i)) for a reward i that is alone in its stratum; 0 without `expected`

    So the expected gradient of every stratum is c times the exact one, whatever its size, as in a group without strata.
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
    """`group_advantages` of owners, each of which is paid the mean of its rewards; reward i gets that of owners[i].

    Second looks at one first try have it as their owner, so that it is no part of its own baseline. For four first
    tries, one of them right, with two looks at each, "rloo" gives the right one 1 - 0, not 1 - (1 + 6 * 0) / 7.
    """
    paid: dict[int, list[float]] = {}
    for owner, reward in zip(owners, rewards, strict=True):
        paid.setdefault(owner, []).append(reward)
    means = [sum(each) / len(each) for each in paid.values()]
    advantages = dict(zip(paid, group_advantages(means, rule), strict=True))
    return [advantages[owner] for owner in owners]


def second_look_rewards(pairs: Sequence[tuple[float, float]], alpha: float) -> list[float]:
    """`correction_reward` of each (reward of the turn before, reward of the turn)."""
    return [correction_reward(before, after, alpha) for before, after in pairs]


def second_look_advantages(
    pairs: Sequence[tuple[float, float]],
    alpha: float,
    rule: AdvantageRule,
    rate: SecondLookRate,
    siblings: Sequence[int] | None = None,
    was_right: Sequence[bool] | None = None,
    right_pays: float = 1.0,
) -> list[float]:
    """Advantages of later turns, of each (reward of the turn before, reward of the turn), within strata.

    A stratum has the attempts whose turn before had the same reward or, where `siblings` is given, those with the same
    entry of it: second looks at the same first try, for which the mean of the others is the exact baseline. A turn
    that is alone in its stratum is compared with what the problem's running estimate `rate` leads to expect:
    rate * (reward if right) + (1 - rate) * (reward if wrong), where right is paid `right_pays` and wrong 0.

    Graded rewards r1, other than 0 and 1, are hardly ever equal. Their strata are the outcomes of the turn before,
    `was_right`, and what is compared is (1 + alpha) r2: r2 + alpha (r2 - r1) without what the turn did not decide.
    """

    def is_graded(index: int) -> bool:
        return siblings is None and was_right is not None and pairs[index][0] not in (0.0, 1.0)

    def known(index: int) -> tuple[float, bool]:
        """(reward of the turn before, as it is compared; whether it was right)."""
        before = pairs[index][0]
        if not is_graded(index):
            return before, before > 0.5
        assert was_right is not None
        return 0.0, was_right[index]

    def expected(index: int) -> float:
        before, is_right = known(index)
        p = rate(is_right)
        return p * correction_reward(before, right_pays, alpha) + (1 - p) * correction_reward(before, 0.0, alpha)

    strata = [_GRADED[known(i)[1]] if is_graded(i) else before for i, (before, _) in enumerate(pairs)]
    compared = [(known(i)[0], after) for i, (_, after) in enumerate(pairs)]
    return stratified_advantages(
        strata if siblings is None else siblings, second_look_rewards(compared, alpha), rule, expected
    )


_GRADED = {False: -math.inf, True: math.inf}  # strata that no reward has
