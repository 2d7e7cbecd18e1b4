"""Advantages that know the format of an answer, so that training need not leave all formats but one.

A format that is right more often than another is pushed up as a whole by plain advantages: each of its right answers is
above the group's mean by the same, and there are more of them. So one format drives out the others, also where these
are right as often by the end (Zhao et al., "Echo Chamber", arXiv 2504.07912). Both ways against it are off by default.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from roles.pay.advantages import AdvantageRule, stratified_advantages

BaselineRule = Literal["group", "format"]

MOST = 8.0  # times that a format's right answers are paid, at most: one lucky answer must not become a step


def format_advantages(
    owners: Sequence[int], rewards: Sequence[float], formats: Sequence[str], rule: AdvantageRule
) -> list[float]:
    """Advantages of first tries, each compared with the others of its format alone: those of `stratified_advantages`,
    0 for one that is alone in its format.

    `owners`: as for `shared_advantages`, each of which is paid the mean of its rewards; `formats[i]` is that of the
    first try owners[i]. The expected push on the share of a format is then 0: what is rewarded is being right in it.
    """
    paid: dict[int, list[float]] = {}
    strata: dict[int, float] = {}
    numbers = {name: float(number) for number, name in enumerate(dict.fromkeys(formats))}
    for owner, reward, name in zip(owners, rewards, formats, strict=True):
        paid.setdefault(owner, []).append(reward)
        strata[owner] = numbers[name]
    means = [sum(each) / len(each) for each in paid.values()]
    found = stratified_advantages([strata[owner] for owner in paid], means, rule)
    advantages = dict(zip(paid, found, strict=True))
    return [advantages[owner] for owner in owners]


def quota_scales(masses: Mapping[str, float], quota: float) -> dict[str, float]:
    """By what the positive advantages of each format are multiplied, so that none has less than `quota` of them all.

    `masses`: the sum of a format's positive advantages, >= 0. With K formats above 0 and q = min(quota, 1 / K), the
    formats that would have less than q of the scaled sum T are raised to q T; the others keep theirs, so that
    T = (sum of theirs) / (1 - q times the number of those that are raised). 1 for a format without any, and MOST at
    most, so that the quota may be missed. In [0, 1]; 0 raises none.
    """
    there = {name: mass for name, mass in masses.items() if mass > 0}
    share = min(quota, 1 / len(there)) if there else 0.0
    most = max(there, key=lambda name: there[name], default="")  # with q <= 1 / K it never has less than q T
    raised: set[str] = set()
    total = sum(there.values())
    while lacking := {name for name in there.keys() - raised - {most} if there[name] < share * total}:
        raised |= lacking
        total = sum(mass for name, mass in there.items() if name not in raised) / (1 - share * len(raised))
    return {name: min(MOST, share * total / masses[name]) if name in raised else 1.0 for name in masses}
