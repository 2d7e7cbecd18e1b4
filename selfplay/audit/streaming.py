"""An audit's one pass over all tensors, a block of rows at a time."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from selfplay.audit.counting import NOTHING, Changed, Update, as_bf16, changed, plus, update
from selfplay.audit.ranks import GrowingMatrix
from selfplay.audit.records import MatrixRanks, Shared, TensorAudit
from selfplay.audit.sizes import GrowingSizes
from selfplay.machine.errors import USAGE, Refused
from selfplay.model.weights.tensor_files import Floats, Tensors, blocks

Heard = Callable[[str, Changed], None]  # (tensor's name, which of a block's numbers have changed)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared. `rounds`: the start as its run holds it, rounded to what it is served in."""

    now: Tensors
    start: Tensors
    rounds: bool

    def blocks(self, name: str, first: int, last: int) -> tuple[Floats, Floats]:
        """(start, now) of the rows."""
        start = self.start.rows(name, first, last)
        return as_bf16(start) if self.rounds else start, self.now.rows(name, first, last)


def audited_tensors(
    pair: Pair,
    other: Pair | None = None,
    with_ranks: bool = True,
    heard: Heard = lambda name, found: None,
) -> Iterator[TensorAudit]:
    """Every trained tensor, by name. `heard` is told which numbers of each block have changed, in order.

    Raises Refused where the two runs did not train the same tensors.
    """
    shapes = pair.now.shapes()
    if other is not None:
        _require_alike(shapes, other.now.shapes())
    for name, shape in sorted(shapes.items(), key=lambda item: in_order(item[0])):
        yield _audited(name, shape, pair, other, with_ranks, heard)


def _audited(
    name: str,
    shape: tuple[int, ...],
    pair: Pair,
    other: Pair | None,
    with_ranks: bool,
    heard: Heard,
) -> TensorAudit:
    counts = theirs = both = NOTHING
    squares = start_squares = 0.0
    updates = _Updates.of(name, shape) if with_ranks else None
    sizes = GrowingSizes()
    for first, last in blocks(shape):
        start, now = pair.blocks(name, first, last)
        moved = update(start, now)
        found = changed(start, moved)
        counts = plus(counts, found.counts())
        squares += _squares(moved.fp32)
        start_squares += _squares(start)
        heard(name, found)
        if updates is not None:
            updates.add(moved)
        found_there = None
        if other is not None:
            start_there, now_there = other.blocks(name, first, last)
            found_there = changed(start_there, update(start_there, now_there))
            theirs = plus(theirs, found_there.counts())
            both = plus(both, Changed(*(a & b for a, b in zip(found, found_there, strict=True))).counts())
        sizes.add(start, found, found_there)
    return TensorAudit(
        name=name,
        shape=shape,
        numbers=math.prod(shape),
        changed=counts,
        squares=squares,
        start_squares=start_squares,
        sizes=sizes.sizes(),
        ranks=None if updates is None else updates.ranks(),
        shared=None if other is None else Shared(theirs, both, sizes.both_by_chance()),
    )


@dataclass(frozen=True, slots=True)
class _Updates:
    """A matrix's update twice: as it is, and as bf16 has it."""

    fp32: GrowingMatrix
    bf16: GrowingMatrix

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...]) -> "_Updates | None":
        if len(shape) != 2:
            return None
        return cls(*(GrowingMatrix(name, (shape[0], shape[1])) for _ in range(2)))

    def add(self, moved: Update) -> None:
        self.fp32.add(moved.fp32)
        self.bf16.add(moved.bf16)

    def ranks(self) -> MatrixRanks:
        return MatrixRanks(self.fp32.ranks(), self.bf16.ranks(), self.fp32.is_sampled)


def in_order(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts names as people count: layer 2 before layer 10."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in name.split(".")]


def _require_alike(shapes: Mapping[str, tuple[int, ...]], others: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(shapes.keys() | others.keys()):
        if shapes.get(name) != others.get(name):
            raise Refused(
                f"the two runs did not train the same tensors: {name} is {shapes.get(name, 'not trained')} in the "
                f"first and {others.get(name, 'not trained')} in the second; compare runs of one architecture",
                USAGE,
            )


def _squares(numbers: Floats) -> float:
    flat = numbers.reshape(-1).astype(np.float64)
    return float(flat @ flat)
