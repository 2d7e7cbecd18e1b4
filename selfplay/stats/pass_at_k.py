"""pass@k from more samples than k, with an interval over problems.

A problem of which c of n samples are right is solved by one of k samples drawn from these n without putting back with
probability 1 - C(n - c, k) / C(n, k): the unbiased estimate of pass@k for k <= n. Source: Chen et al. 2021,
arXiv 2107.03374.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from selfplay.stats.intervals import Z95, t95, wilson


class Estimate(NamedTuple):
    """A share or another mean, and its 95% interval."""

    value: float
    low: float
    high: float


def share_of(right: int, n: int) -> Estimate:
    """`right` of n, with Wilson's interval; 0 in (0, 1) where n is 0."""
    return Estimate(right / max(1, n), *wilson(right, n))


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k), exactly up to one rounding. ValueError unless 0 <= c <= n and 1 <= k <= n."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} right in {n} samples")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def doubling(n: int) -> list[int]:
    """1, 2, 4 ... below n, and n itself: the k that are told of n samples."""
    return [1 << power for power in range(n.bit_length()) if 1 << power < n] + [n] if n > 0 else []


def mean_pass_at_k(right: Sequence[int], n: int, k: int) -> Estimate:
    """Mean of `pass_at_k` over problems, of which right[i] of n samples were right, with a 95% interval.

    The interval is Wilson's for v m right of m independent tries, v the mean and m how many tries would vary as much:
    m = problems v (1 - v) / s^2 (1.96 / t)^2, with s^2 the variance of pass@k between problems and t Student's for it.
    Bounds: m >= problems, since nothing in [0, 1] varies more than what is 0 or 1, and m <= problems floor(n / k),
    since n samples hold no more sets of k without a common one. So the interval has a width where all problems went
    alike, stays in [0, 1], and for k = n is Wilson's for the problems solved. Source of the effective size: Korn and
    Graubard 1998, Survey Methodology 24.
    """
    problems = len(right)
    if problems == 0:
        return share_of(0, 0)
    values = [pass_at_k(n, c, k) for c in right]
    mean = math.fsum(values) / problems
    tries = most = float(problems * (n // k))
    if max(values) > min(values):
        spread = math.fsum((value - mean) ** 2 for value in values) / (problems - 1)
        shrink = (Z95 / _student(problems - 1)) ** 2
        tries = min(most, max(problems, problems * mean * (1.0 - mean) / spread * shrink))
    return Estimate(mean, *wilson(mean * tries, tries))


@cache
def _student(df: int) -> float:
    return float(t95(df))
