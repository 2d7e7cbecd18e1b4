"""The rank of a matrix whose rows come in blocks.

Singular values are the roots of the eigenvalues of M' M, or M M' where that is smaller. Its entries are summed in
float64 from float32 numbers, so that a singular value is exact to about 1e-16 (largest / it) of the largest: far below
the tolerance at which float32 counts it. It is several times faster than the decomposition of M itself, and takes
memory for the smaller side's square only.
"""

import numpy as np
import xxhash

from selfplay.audit.records import Ranks
from selfplay.model.weights.tensor_files import Floats

MOST_SIDE = 1024  # of the smaller side; of a larger matrix as many rows and columns are drawn
_HELD_SQUARES = 0.99
_EPSILON = 2.0**-23


class GrowingMatrix:
    """A matrix of `shape`, by its name. `add` its rows in order, then read `ranks`."""

    def __init__(self, name: str, shape: tuple[int, int]) -> None:
        self.is_sampled = min(shape) > MOST_SIDE
        self._rows, self._columns = (_drawn(f"{name}/{side}", shape[side], self.is_sampled) for side in (0, 1))
        self._shape = (len(self._rows), len(self._columns)) if self.is_sampled else shape
        self._is_wide = self._shape[0] < self._shape[1]
        self._sum = np.zeros((min(self._shape), min(self._shape)))
        self._kept: list[Floats] = []  # of a wide matrix, whose rows are needed together
        self._seen = 0

    def add(self, rows: Floats) -> None:
        """float32 [any number, columns]."""
        first, self._seen = self._seen, self._seen + len(rows)
        if self.is_sampled:
            mine = self._rows[(self._rows >= first) & (self._rows < self._seen)] - first
            rows = rows[np.ix_(mine, self._columns)]
        if self._is_wide:
            self._kept.append(rows.copy())
        else:
            self._sum += _square(rows)

    def ranks(self) -> Ranks:
        if self._kept:
            whole = np.concatenate(self._kept)
            for first in range(0, whole.shape[1], MOST_SIDE):
                self._sum += _square(whole[:, first : first + MOST_SIDE].T)
            self._kept.clear()
        squares = np.linalg.eigvalsh(self._sum)[::-1].clip(min=0.0)
        return ranks_of(squares, max(self._shape))


def ranks_of(squares: np.ndarray, longest: int) -> Ranks:
    """Of the squares of a matrix's singular values, falling; `longest`: its longer side."""
    if not squares.any():
        return Ranks(len(squares), 0, 0)
    tolerance = (longest * _EPSILON) ** 2 * squares[0]
    held = np.cumsum(squares) / squares.sum()
    return Ranks(len(squares), int((squares > tolerance).sum()), int(np.searchsorted(held, _HELD_SQUARES)) + 1)


def _square(rows: Floats) -> np.ndarray:
    """M' M in float64."""
    exact = rows.astype(np.float64)
    return exact.T @ exact


def _drawn(key: str, side: int, is_sampled: bool) -> np.ndarray:
    """MOST_SIDE of the numbers below `side`, rising: the same for the same key."""
    if not is_sampled:
        return np.arange(0)
    generator = np.random.default_rng(xxhash.xxh3_64_intdigest(key.encode()))
    return np.sort(generator.choice(side, MOST_SIDE, replace=False))
