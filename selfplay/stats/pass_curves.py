"""pass@k of two models on the same problems: paired over problems, with a bootstrap, and where the second is ahead.

Resampling whole problems keeps what is alike of a problem for both models, and asks nothing of the distribution.
Source: Yue et al. 2025, arXiv 2504.13837, whose question it is whether the model that training began with is ahead
where k is large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from selfplay.stats.pass_at_k import Estimate, doubling, mean_pass_at_k, pass_at_k

RESAMPLES = 2000
_ROUNDING = 1e-12  # means of equal curves differ by less


@dataclass(frozen=True, slots=True)
class PairedAtK:
    """pass@k of both with the intervals of `mean_pass_at_k`; `difference`: first less second, bootstrapped."""

    k: int
    first: Estimate
    second: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class PairedCurves:
    """`at`: at k of 1, 2, 4 ... `samples`. `overtaken_at`: the smallest k, any whole
    number, at which the second's mean is above the first's; None where it never is. `solved_by_both` and so on: how
    many problems had a right answer among `samples` of theirs."""

    samples: int
    at: tuple[PairedAtK, ...]
    overtaken_at: int | None
    solved_by_both: int
    solved_by_first: int
    solved_by_second: int
    solved_by_neither: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Of each problem, in one order for both models, how many of `samples` were right."""

    samples: int
    right: Sequence[int]


def paired_curves(first: Counted, second: Counted, key: str) -> PairedCurves:
    """`key` keys the resampling: the same for the same key. Raises ValueError for unlike numbers."""
    if len(first.right) != len(second.right) or not first.right or first.samples != second.samples:
        raise ValueError("two models need as many samples of the same problems, one at least")
    weights = _resampled(len(first.right), key)
    solved = [(one > 0, other > 0) for one, other in zip(first.right, second.right, strict=True)]
    every = range(1, first.samples + 1)
    return PairedCurves(
        samples=first.samples,
        at=tuple(_paired(first, second, k, weights) for k in doubling(first.samples)),
        overtaken_at=next((k for k in every if _mean(second, k) > _mean(first, k) + _ROUNDING), None),
        solved_by_both=solved.count((True, True)),
        solved_by_first=solved.count((True, False)),
        solved_by_second=solved.count((False, True)),
        solved_by_neither=solved.count((False, False)),
    )


def _paired(first: Counted, second: Counted, k: int, weights: np.ndarray) -> PairedAtK:
    difference = _values(first, k) - _values(second, k)
    low, high = np.quantile(weights @ difference, (0.025, 0.975))
    return PairedAtK(
        k,
        mean_pass_at_k(first.right, first.samples, k),
        mean_pass_at_k(second.right, second.samples, k),
        Estimate(float(difference.mean()), float(low), float(high)),
    )


def _values(counted: Counted, k: int) -> np.ndarray:
    """[problems] pass@k of each."""
    by_count = {c: pass_at_k(counted.samples, c, k) for c in set(counted.right)}
    return np.array([by_count[c] for c in counted.right])


def _mean(counted: Counted, k: int) -> float:
    return float(_values(counted, k).mean())


def _resampled(problems: int, key: str) -> np.ndarray:
    """[RESAMPLES, problems]: what each problem weighs in a mean over as many problems, drawn with putting back."""
    generator = np.random.default_rng(xxhash.xxh3_64_intdigest(key.encode()))
    return generator.multinomial(problems, np.full(problems, 1 / problems), RESAMPLES) / problems
