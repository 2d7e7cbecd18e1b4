"""What the trained tokens of a batch were drawn from, where that is a part of the vocabulary.

Tokens that were drawn in one context share one set, so a batch has each set once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from roles.support import Support

ALL = -1  # stands for the whole vocabulary
_PREFIX = "support_"  # of the arrays' names in a journal


@dataclass(frozen=True, slots=True)
class Supports:
    """`sets[rows[i]]` is what trained token i was drawn from; rows [M] int64, ALL for the whole vocabulary. All sets
    are of one vocabulary, and there is one set at least."""

    rows: np.ndarray
    sets: tuple[Support, ...]

    @property
    def vocabulary(self) -> int:
        """Tokens of the model that drew."""
        return self.sets[0].vocabulary

    def drawable(self, targets: np.ndarray) -> np.ndarray:
        """[m, vocabulary] bool: what each of the trained tokens `targets` [m] could have been."""
        found = np.zeros((len(targets), self.vocabulary), dtype=bool)
        for row, index in zip(found, self.rows[targets], strict=True):
            row[slice(None) if index == ALL else self.sets[index].ids()] = True
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """For the journal: `rows`, the sets' data one behind the other, where each begins, and the vocabulary."""
        ends = np.cumsum([len(each.data) for each in self.sets])
        named = {
            "rows": self.rows,
            "bytes": np.frombuffer(b"".join(each.data for each in self.sets), dtype=np.uint8),
            "starts": np.array([0, *ends], dtype=np.int64),
            "vocabulary": np.array([self.vocabulary], dtype=np.int64),
        }
        return {f"{_PREFIX}{name}": array for name, array in named.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Supports | None":
        """The inverse of `arrays`; None where there is nothing of it. Raises ValueError for what no batch has."""
        mine = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
        if not mine:
            return None
        if set(mine) != {"rows", "bytes", "starts", "vocabulary"}:
            raise ValueError("the arrays of what tokens were drawn from are not all there")
        rows, data, starts = mine["rows"], mine["bytes"], mine["starts"]
        [vocabulary] = mine["vocabulary"].astype(np.int64).reshape(-1)
        is_whole = starts.dtype == np.int64 and starts.ndim == 1 and len(starts) > 1 and data.dtype == np.uint8
        if not is_whole or starts[0] != 0 or starts[-1] != data.size or (np.diff(starts) <= 0).any():
            raise ValueError("what tokens were drawn from is not cut where it should be")
        blob, cuts = data.tobytes(), starts.tolist()
        sets = [Support(int(vocabulary), blob[a:b]) for a, b in pairwise(cuts)]
        return cls(rows, tuple(sets))

    def require_consistent(self, tokens: np.ndarray) -> None:
        """Raises ValueError unless each of the trained `tokens` [M] is in its own set."""
        if self.rows.dtype != np.int64 or self.rows.shape != tokens.shape:
            raise ValueError("what tokens were drawn from is not a column of the trained ones")
        if ((self.rows < ALL) | (self.rows >= len(self.sets))).any():
            raise ValueError("a trained token was drawn from a set that is not there")
        for index, each in enumerate(self.sets):
            if not np.isin(tokens[self.rows == index], each.ids()).all():
                raise ValueError("a trained token is not in the set that it was drawn from")


def supports_of(drawn_from: Sequence[Support | None]) -> Supports | None:
    """`drawn_from`: of each trained token, None for the whole vocabulary. None where that is all of them."""
    place: dict[Support, int] = {}
    rows = [ALL if each is None else place.setdefault(each, len(place)) for each in drawn_from]
    return Supports(np.array(rows, dtype=np.int64), tuple(place)) if place else None
