"""Which version of something that learns to keep: the one that does best on hard and on easy probes at once.

A version is whatever answers the same probes as the others: weights of a run, or a set of written skills. Hard probes
alone would pick a version that has forgotten what was easy, easy ones alone a version that never learned. So versions
are compared by the product of both rates, as in Ctx2Skill's cross-time replay (Si et al., arXiv 2604.27660). Pure, and
free of everything that a version is made of.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

RateRule = Literal["posterior_mean", "plus_one"]
Version = TypeVar("Version")
_PRIOR: Mapping[RateRule, tuple[int, int]] = {"posterior_mean": (1, 2), "plus_one": (1, 1)}  # (a, b) of `rate`


@dataclass(frozen=True, slots=True)
class Answers:
    """Whether a version solved each probe. Versions that are compared answered the same probes, in the same order."""

    hard: tuple[bool, ...]
    easy: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Fall:
    """How much lower the product of one version is than another's, and the standard error of that difference."""

    by: float
    standard_error: float

    def is_beyond(self, standard_errors: float) -> bool:
        return self.by > standard_errors * self.standard_error


def rate(solved: int, n: int, rule: RateRule = "posterior_mean") -> float:
    """(solved + a) / (n + b), in (0, 1].

    posterior_mean: a = 1, b = 2, the mean of the posterior under a uniform prior. plus_one: a = b = 1, as Ctx2Skill has
    it, which is too high by (n - solved) / (n (n + 1)) of the plain share.
    """
    a, b = _PRIOR[rule]
    return (solved + a) / (n + b)


def product(answers: Answers, rule: RateRule = "posterior_mean") -> float:
    """rho_h rho_e, the rates of hard and of easy probes."""
    hard, easy = answers.hard, answers.easy
    return rate(sum(hard), len(hard), rule) * rate(sum(easy), len(easy), rule)


def best_of(versions: Mapping[Version, Answers], rule: RateRule = "posterior_mean") -> Version:
    """The version with the highest product; of equal ones the last. ValueError without any, and for other probes."""
    if not versions:
        raise ValueError("no version to choose from")
    if len({(len(each.hard), len(each.easy)) for each in versions.values()}) > 1:
        raise ValueError("versions are compared by the same probes")
    products = {version: product(answers, rule) for version, answers in versions.items()}
    highest = max(products.values())
    return [version for version, value in products.items() if value == highest][-1]


def fall(before: Answers, now: Answers, rule: RateRule = "posterior_mean") -> Fall:
    """How far the product fell, paired probe by probe. ValueError for other probes.

    With l_k probes of kind k lost and g_k gained, and m_k the mean of the two rates of kind k, the fall is exactly

        m_e (l_h - g_h) / (n_h + b) + m_h (l_e - g_e) / (n_e + b).

    Its standard error takes both m as given (the delta method):

        SE^2 = m_e^2 v_h / (n_h + b)^2 + m_h^2 v_e / (n_e + b)^2,   v_k = l_k + g_k + 1 - (l_k - g_k)^2 / (n_k + 2)

    v is Agresti and Min's (2005, Statistics in Medicine 24: 729-740): half an observation more in each of the 4 cells
    of the pairs' table, so that two lost probes out of two are no certainty. A kind of which nothing changed has v = 0:
    half an observation there would hide that all easy probes were lost, where no version ever solved a hard one.
    """
    b = _PRIOR[rule][1]
    total = variance = 0.0
    kinds = ((before.hard, now.hard, before.easy, now.easy), (before.easy, now.easy, before.hard, now.hard))
    for old, new, other_old, other_new in kinds:
        lost, gained = _changed(old, new)
        weight = (_rate_of(other_old, rule) + _rate_of(other_new, rule)) / 2 / (len(old) + b)
        total += weight * (lost - gained)
        if lost or gained:
            variance += weight**2 * (lost + gained + 1 - (lost - gained) ** 2 / (len(old) + 2))
    return Fall(total, math.sqrt(variance))


def _rate_of(answers: Sequence[bool], rule: RateRule) -> float:
    return rate(sum(answers), len(answers), rule)


def _changed(old: Sequence[bool], new: Sequence[bool]) -> tuple[int, int]:
    """(lost, gained)."""
    pairs = list(zip(old, new, strict=True))
    return sum(was and not now for was, now in pairs), sum(now and not was for was, now in pairs)
