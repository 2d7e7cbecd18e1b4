"""The support of a truncated distribution: which tokens of the vocabulary could be drawn at all.

top_k, top_p and min_p leave some tokens of a context and renormalise them. Which ones depends on the weights of that
moment, so a later policy's log-probability of the same draw needs the set itself: a threshold would leave another set
as soon as the weights have moved, and the ratio to the sampler would then compare two different distributions.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Support:
    """A set of tokens out of `vocabulary`.

    `data` is their ids in ascending order, four bytes each, little-endian; or, where this takes less, a bit for each
    token of the vocabulary. So a set takes vocabulary / 8 bytes at most: 6 KB of 49,152 tokens.
    """

    vocabulary: int
    data: bytes

    @classmethod
    def of(cls, ids: np.ndarray, vocabulary: int) -> "Support":
        """The set of `ids`, which are ascending and distinct."""
        wide = ids.astype("<i4")
        if wide.nbytes < _bytes_of_bits(vocabulary):
            return cls(vocabulary, wide.tobytes())
        is_in = np.zeros(vocabulary, dtype=bool)
        is_in[wide] = True
        return cls(vocabulary, np.packbits(is_in).tobytes())

    def ids(self) -> np.ndarray:
        """[n] int32, ascending. Raises ValueError for data that no set has: a journal may be anybody's."""
        if len(self.data) == _bytes_of_bits(self.vocabulary):
            found = np.flatnonzero(np.unpackbits(np.frombuffer(self.data, dtype=np.uint8), count=self.vocabulary))
            ids: np.ndarray = found.astype(np.int32)
        elif len(self.data) % 4:
            raise ValueError("a set of tokens is neither ids nor bits")
        else:
            ids = np.frombuffer(self.data, dtype="<i4").astype(np.int32)
        if not ids.size or ids[0] < 0 or ids[-1] >= self.vocabulary or (np.diff(ids) <= 0).any():
            raise ValueError(f"a set of tokens is empty, out of order, or beyond the vocabulary of {self.vocabulary}")
        return ids


def _bytes_of_bits(vocabulary: int) -> int:
    return (vocabulary + 7) // 8
