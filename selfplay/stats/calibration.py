"""How well stated probabilities fit what came true: proper scores, and their parts.

Everything here takes `correct` [n] and `confidence` [n] in [0, 1], one of each for every answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies from `low` to `high`: how many, their mean confidence, their accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def calibration_metrics(correct: Sequence[bool], confidence: Sequence[float]) -> dict[str, float]:
    """All figures by name; ValueError for no answers.

    brier: mean (q - c)^2 = reliability - resolution + uncertainty, split by distinct values of q (Murphy 1973): a
    constant q has resolution 0. ece, ece_mass: mean |accuracy - confidence| over 10 bins of equal width, of equal
    mass. auroc: P(q of a right answer > q of a wrong one), ties half; 0.5 where one of the two is absent.
    distinct: number of values. accuracy, mean_confidence.
    """
    c, q = np.asarray(correct, dtype=float), np.asarray(confidence, dtype=float)
    if not len(c):
        raise ValueError("calibration of no answers")
    values, where = np.unique(q, return_inverse=True)
    sizes = np.bincount(where)
    rates = np.bincount(where, weights=c) / sizes
    base = c.mean()
    return {
        "brier": float(((q - c) ** 2).mean()),
        "reliability": float((sizes * (values - rates) ** 2).sum() / len(c)),
        "resolution": float((sizes * (rates - base) ** 2).sum() / len(c)),
        "uncertainty": float(base * (1 - base)),
        "ece": _error(reliability_bins(correct, confidence)),
        "ece_mass": _error(reliability_bins(correct, confidence, equal_mass=True)),
        "auroc": auroc(correct, confidence),
        "distinct": float(len(values)),
        "accuracy": float(base),
        "mean_confidence": float(q.mean()),
    }


def auroc(correct: Sequence[bool], confidence: Sequence[float]) -> float:
    """Area under the ROC curve from mean ranks (Mann-Whitney); 0.5 where all answers are right, or all wrong."""
    c, q = np.asarray(correct, dtype=bool), np.asarray(confidence, dtype=float)
    right, wrong = int(c.sum()), int((~c).sum())
    if not right or not wrong:
        return 0.5
    _, where, sizes = np.unique(q, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(sizes) - (sizes - 1) / 2
    return float((mean_ranks[where][c].sum() - right * (right + 1) / 2) / (right * wrong))


def reliability_bins(
    correct: Sequence[float], confidence: Sequence[float], bins: int = BINS, equal_mass: bool = False
) -> list[Bin]:
    """Bins that hold something, by rising confidence. Equal mass: about n / bins answers each, equal values in one.

    `correct` may be shares in [0, 1] too, of several answers each.
    """
    c, q = np.asarray(correct, dtype=float), np.asarray(confidence, dtype=float)
    if equal_mass:
        values, where, sizes = np.unique(q, return_inverse=True, return_counts=True)
        middle = np.cumsum(sizes) - sizes / 2
        index = np.minimum((middle / len(q) * bins).astype(int), bins - 1)[where] if len(values) else where
    else:
        index = np.minimum((q * bins).astype(int), bins - 1)
    found = []
    for each in np.unique(index):
        inside = index == each
        low, high = (q[inside].min(), q[inside].max()) if equal_mass else (each / bins, (each + 1) / bins)
        mean, rate = q[inside].mean(), c[inside].mean()
        found.append(Bin(float(low), float(high), int(inside.sum()), float(mean), float(rate)))
    return found


def _error(bins: Sequence[Bin]) -> float:
    total = sum(each.n for each in bins)
    return sum(each.n * abs(each.accuracy - each.confidence) for each in bins) / total
