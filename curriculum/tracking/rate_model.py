"""Pass rates of untried problems from their features: logistic regression with a Gaussian posterior of its weights.

    logit p = o + w x,    w ~ N(m, P),    at the start N(0, V) with V = PRIOR_VARIANCE

o is the logit of what the problem's family foretells, so w = 0 foretells what the family does. A group of k right tries
out of n moves the posterior by one Newton step at the prior's mean (Laplace's approximation, recursively: West,
Harrison and Migon, "Dynamic generalized linear models", JASA 80, 1985):

    q = 1 / (1 + exp(-(o + m x))),   h = n' q (1 - q),   n' = n (s + 1) / (s + n)
    P <- P - (h / (1 + h x'Px)) (Px)(Px)',   m <- m + n' (k / n - q) Px / (1 + h x'Px)

n' is how many tries a group counts for whose problem has a rate of its own, drawn from a Beta of strength s. Between
groups the weights go back to 0 by r = KEPT^(policy versions), since the policy that they are of is gone:

    m <- r m,   P <- r^2 P + (1 - r^2) V

Sums run in a fixed order and not through a BLAS, so the same history gives the same bits on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curriculum.tracking.columns import Floats

PRIOR_VARIANCE = 0.1  # of a weight: a feature of size 1 may move the odds by a factor of e^0.3
KEPT = 0.995  # of a weight, with each policy version


@dataclass(frozen=True, slots=True)
class Logit:
    """The logit of a rate is N(mean, variance)."""

    mean: float
    variance: float

    @property
    def rate(self) -> float:
        """The mean of the rate, by MacKay's approximation ("The evidence framework", Neural Computation 4, 1992)."""
        return _sigmoid(self.mean / math.sqrt(1.0 + math.pi * self.variance / 8.0))


class RateModel:
    """`size` weights. What is given as features has that length."""

    def __init__(self, size: int) -> None:
        self._mean = np.zeros(size)
        self._covariance = PRIOR_VARIANCE * np.eye(size)
        self._version = 0

    def state_of_fold(self) -> dict[str, object]:
        return {
            "mean": self._mean.tolist(),
            "covariance": self._covariance.ravel().tolist(),
            "version": self._version,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Takes over what `state_of_fold` gave."""
        mean, covariance, version = state["mean"], state["covariance"], state["version"]
        self._mean = np.array(mean, dtype=np.float64)
        self._covariance = np.array(covariance, dtype=np.float64).reshape(len(self._mean), len(self._mean))
        assert isinstance(version, int)
        self._version = version

    def foretell(self, features: Sequence[float], offset: float, version: int) -> Logit:
        """Of a problem; `offset`: the logit of what its family foretells. Changes nothing."""
        x, kept = np.array(features), KEPT ** max(0, version - self._version)
        variance = kept * kept * _dot(x, _times(self._covariance, x))
        variance += (1.0 - kept * kept) * PRIOR_VARIANCE * _dot(x, x)
        return Logit(offset + kept * _dot(self._mean, x), variance)

    def observe(
        self, features: Sequence[float], offset: float, right: int, tries: int, strength: float, version: int
    ) -> None:
        """A first group of `tries` >= 1; `strength` > 0 of the Beta that problems' own rates are drawn from."""
        self._forget(version)
        x = np.array(features)
        spread = _times(self._covariance, x)
        rate = _sigmoid(offset + _dot(self._mean, x))
        counted = tries * (strength + 1.0) / (strength + tries)
        known = counted * rate * (1.0 - rate)
        weight = 1.0 + known * _dot(x, spread)
        self._mean = self._mean + (counted * (right / tries - rate) / weight) * spread
        self._covariance = self._covariance - (known / weight) * (spread[:, None] * spread[None, :])

    def _forget(self, version: int) -> None:
        if version <= self._version:
            return
        kept = KEPT ** (version - self._version)
        self._mean = kept * self._mean
        self._covariance = kept * kept * self._covariance
        self._covariance[np.diag_indices(len(self._mean))] += (1.0 - kept * kept) * PRIOR_VARIANCE
        self._version = version


def _dot(one: Floats, other: Floats) -> float:
    return math.fsum((one * other).tolist())


def _times(matrix: Floats, x: Floats) -> Floats:
    """A symmetric matrix times a vector: rows are added one after the other."""
    total = np.zeros(len(x))
    for row in np.flatnonzero(x).tolist():
        total = total + matrix[row] * x[row]
    return total


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(35.0, max(-35.0, value))))
