"""Changed parameters by the size of the weight they changed.

bfloat16 has 8 significant bits, so it hides a change that is small beside the weight: large weights seem to stay, in
every run alike. How many of each size changed shows that, and so does the overlap that two runs would have by chance if
each changed as many parameters of a tensor, of each size, as it did.
"""

import numpy as np

from selfplay.audit.counting import Changed
from selfplay.audit.records import ByChance, Counts, OfSize
from selfplay.model.weights.tensor_files import Floats

LOWEST, HIGHEST = -24, 4  # powers of two: smaller and larger weights count with these
_PARTS = 4  # of a power: weights in one bin differ by a factor of 2^(1/4) at most
_BINS = (HIGHEST - LOWEST + 1) * _PARTS
_WAYS = 3  # of counting, for each of two runs


class GrowingSizes:
    """One tensor's parameters by size, as its blocks come."""

    def __init__(self) -> None:
        self._numbers = np.zeros((_BINS,) + (2,) * 2 * _WAYS, dtype=np.int64)  # bin, then whether each way counts it

    def add(self, start: Floats, found: Changed, there: Changed | None = None) -> None:
        """`start`: a block of weights, any shape. `found`, `there`: which of them this and the other run changed."""
        code = _bins(start)
        for each in (*found, *(there or (np.zeros_like(found.bf16),) * _WAYS)):
            code = code << 1 | each.reshape(-1)
        self._numbers += np.bincount(code, minlength=self._numbers.size).reshape(self._numbers.shape)

    def sizes(self) -> tuple[OfSize, ...]:
        """By whole powers of two, rising, those that some weight has."""
        whole = self._numbers.reshape(-1, _PARTS, *self._numbers.shape[1:]).sum(axis=1)
        numbers, changed = _sum(whole), [_sum(np.take(whole, 1, axis=1 + way)) for way in range(_WAYS)]
        return tuple(
            OfSize(LOWEST + int(row), int(numbers[row]), Counts(*(int(each[row]) for each in changed)))
            for row in np.flatnonzero(numbers)
        )

    def both_by_chance(self) -> ByChance:
        """sum_b |A_b| |B_b| / n_b over bins b, for each way of counting."""
        numbers = np.maximum(1, _sum(self._numbers))

        def expected(way: int) -> float:
            mine, theirs = (_sum(np.take(self._numbers, 1, axis=1 + run * _WAYS + way)) for run in range(2))
            return float((mine * theirs / numbers).sum())

        return ByChance(*(expected(way) for way in range(_WAYS)))


def _bins(weights: Floats) -> np.ndarray:
    """Of each weight, in a row."""
    with np.errstate(divide="ignore"):  # of 0, which counts with the smallest
        place = np.floor(_PARTS * np.log2(np.abs(weights.reshape(-1)), dtype=np.float64))
    return np.clip(place - LOWEST * _PARTS, 0, _BINS - 1).astype(np.int64)


def _sum(numbers: np.ndarray) -> np.ndarray:
    """By its first axis."""
    return numbers.reshape(len(numbers), -1).sum(axis=1)
