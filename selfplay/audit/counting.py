"""Which numbers of a tensor have changed: numpy, in blocks."""

from typing import NamedTuple

import numpy as np

from selfplay.audit.records import ABSOLUTE, RELATIVE, Counts
from selfplay.model.weights.tensor_files import Floats


class Changed(NamedTuple):
    """Booleans of a block's shape, for each way of counting: see `Counts`."""

    bf16: np.ndarray
    fp32: np.ndarray
    relative: np.ndarray

    def counts(self) -> Counts:
        return Counts(*(int(np.count_nonzero(each)) for each in self))


class Update(NamedTuple):
    """now - start of a block: as it is, and as bf16 has both."""

    fp32: Floats
    bf16: Floats


def update(start: Floats, now: Floats) -> Update:
    """Of two blocks of one shape."""
    return Update(now - start, as_bf16(now) - as_bf16(start))


def changed(start: Floats, moved: Update) -> Changed:
    """What counts as changed by an update of `start`."""
    difference = np.abs(moved.fp32)
    return Changed(
        bf16=np.abs(moved.bf16) > ABSOLUTE,
        fp32=difference > ABSOLUTE,
        relative=difference > RELATIVE * np.abs(start),
    )


def as_bf16(numbers: Floats) -> Floats:
    """Rounded to the nearest bfloat16, ties to even, as torch casts: finite float32 to float32."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


def plus(one: Counts, other: Counts) -> Counts:
    return Counts(*(a + b for a, b in zip(one, other, strict=True)))


NOTHING = Counts(0, 0, 0)
