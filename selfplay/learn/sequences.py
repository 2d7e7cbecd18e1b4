"""Which completions push in a batch, and by how much each: what a weight for a whole completion is put on.

The trained tokens do not say it: one that several completions share has the sum of what they push.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

_PREFIX = "sequence_"  # of the arrays' names in a journal


@dataclass(frozen=True, slots=True)
class Sequences:
    """S runs of trained tokens that have one advantage each: completions, or steps of them where steps are paid. Runs
    of the same tokens are one.

    Each number of a trained token (`TrainBatch.positive`, `negative`, `counts`) is the sum of those of the sequences
    that it is in, but for rounding.
    """

    ends: np.ndarray  # [S] int64, index of the last token
    lengths: np.ndarray  # [S] int64, tokens, at least 1
    positive: np.ndarray  # [S] float64, sum of positive advantages, times the label's weight / tokens
    negative: np.ndarray  # [S] float64, likewise, <= 0
    counts: np.ndarray  # [S] float64, samples that said this, times the label's weight / tokens

    def summed(self, column: np.ndarray, parents: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """[S]: the sum of a column [M] of the trained tokens over each sequence."""
        total = np.zeros(len(self.ends))
        for which, rows in self._walk(parents, targets):
            total[which] += column[rows]
        return total

    def spread(self, column: np.ndarray, parents: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """[M]: the sum of a column [S] over the sequences that each trained token is in."""
        total = np.zeros(len(targets))
        for which, rows in self._walk(parents, targets):
            np.add.at(total, rows, column[which])
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """For the journal."""
        return {f"{_PREFIX}{each.name}": getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Sequences | None":
        """The inverse of `arrays`; None where there is nothing of it. Raises ValueError where a part is missing."""
        mine = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
        if not mine:
            return None
        if set(mine) != {each.name for each in fields(cls)}:
            raise ValueError("the arrays of its sequences are not all there")
        return cls(**mine)

    def require_consistent(self, parents: np.ndarray, depths: np.ndarray, targets: np.ndarray) -> None:
        """Raises ValueError unless each sequence is a run of trained tokens of the forest."""
        size = (len(self.ends),)
        if any(column.dtype != np.int64 or column.shape != size for column in (self.ends, self.lengths)):
            raise ValueError("ends and lengths of its sequences are not columns of one length")
        if ((self.ends < 0) | (self.ends >= len(parents))).any():
            raise ValueError("a sequence ends at a token that is not there")
        if ((self.lengths < 1) | (self.lengths > depths[self.ends])).any():
            raise ValueError("a sequence is longer than what is above its end")
        if any((rows < 0).any() for _, rows in self._walk(parents, targets)):
            raise ValueError("a token of a sequence is not trained")
        for column in (self.positive, self.negative, self.counts):
            if column.dtype != np.float64 or column.shape != size or not np.isfinite(column).all():
                raise ValueError(f"a number of its sequences is not in a column of {size} finite numbers")

    def _walk(self, parents: np.ndarray, targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """From all ends upwards at once: the sequences that go on, and for each the row of the token it is at."""
        row_of = np.full(len(parents), -1, dtype=np.int64)
        row_of[targets] = np.arange(len(targets))
        which, nodes = np.arange(len(self.ends)), self.ends
        for above in range(int(self.lengths.max(initial=0))):
            goes_on = self.lengths[which] > above
            which, nodes = which[goes_on], nodes[goes_on]
            yield which, row_of[nodes]
            nodes = parents[nodes]
