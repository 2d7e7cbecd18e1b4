"""What a step reads of all families, as numpy columns: a family that did not change costs a step next to nothing.

Derived from `FamilyMemory`, row by row as families change, and never stored. Every number has the bits of the plain
formula for one family: powers come from a table that Python's own arithmetic made, the rest are single operations.
"""

import numpy as np
from numpy.typing import NDArray

from curriculum.tracking.posterior import Counts

Floats = NDArray[np.float64]


class Column:
    """Numbers of one kind, a row for each family."""

    def __init__(self, kind: type[np.generic] = np.float64) -> None:
        self._rows = np.zeros(16, dtype=kind)
        self._used = 0

    def put(self, row: int, value: float) -> None:
        if row >= len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[row] = value
        self._used = max(self._used, row + 1)

    @property
    def values(self) -> NDArray[np.float64]:
        return self._rows[: self._used]


class Powers:
    """base^0, base^1 and so on, by Python's own arithmetic."""

    def __init__(self, base: float) -> None:
        self._base = base
        self._table = np.ones(1)

    def of(self, exponents: NDArray[np.int64]) -> Floats:
        most = int(exponents.max(initial=0))
        if most >= len(self._table):
            self._table = np.array([self._base**exponent for exponent in range(2 * most + 1)])
        return self._table[exponents]


class CountColumns:
    """`Counts`, a row for each family."""

    def __init__(self, forgetting: float) -> None:
        self._powers = Powers(forgetting)
        self._hits, self._misses, self._version = Column(), Column(), Column(np.int64)

    def put(self, row: int, counts: Counts) -> None:
        self._hits.put(row, counts.hits)
        self._misses.put(row, counts.misses)
        self._version.put(row, counts.version)

    def at(self, version: int) -> tuple[Floats, Floats]:
        """(hits, misses) as they count at `version`."""
        decay = self._powers.of(np.maximum(0, version - self._version.values))
        return self._hits.values * decay, self._misses.values * decay


def beta_means(hits: Floats, misses: Floats, prior_mean: Floats | float = 0.5, prior_strength: float = 2.0) -> Floats:
    """`beta_mean` of each row."""
    return (prior_mean * prior_strength + hits) / (prior_strength + hits + misses)
