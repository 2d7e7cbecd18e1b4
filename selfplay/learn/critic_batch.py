"""What a step's search trees teach the critic heads, as arrays: part of the step's journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roles.search.critics import HEADS, critic_targets
from roles.search.growth import Searched
from roles.tree import ROOT, Tree, with_ancestors
from selfplay.learn.batch import require_forest, require_nodes, require_numbers

_PREFIX = "critic_"  # of the columns in a journal
HASH_DIGITS = 8  # of a problem's id: enough to tell a share by


@dataclass(frozen=True, slots=True)
class CriticBatch:
    """A forest of T tokens, parents first, of which M end a step. A weight of 0 leaves a target out."""

    ids: np.ndarray  # [T] int64
    parents: np.ndarray  # [T] int64, index of the parent or ROOT
    depths: np.ndarray  # [T] int64
    nodes: np.ndarray  # [M] int64, rising
    targets: np.ndarray  # [M, 2] float64 in [0, 1], a column for each of HEADS
    weights: np.ndarray  # [M, 2] float64 >= 0

    def arrays(self) -> dict[str, np.ndarray]:
        """For the journal."""
        return {f"{_PREFIX}{name}": getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> CriticBatch | None:
        """The inverse of `arrays`, given all arrays of a journal; None where it has none of a critic's.

        Raises ValueError for arrays that no batch has.
        """
        mine = {name.removeprefix(_PREFIX): column for name, column in arrays.items() if name.startswith(_PREFIX)}
        if not mine:
            return None
        if set(mine) != set(cls.__slots__):
            raise ValueError("the critics' columns are not all there")
        batch = cls(**mine)
        require_forest(batch.ids, batch.parents, batch.depths)
        require_nodes(batch.nodes, batch.parents)
        for name in ("targets", "weights"):
            require_numbers(name, getattr(batch, name), (len(batch.nodes), len(HEADS)))
        return batch


@dataclass(frozen=True, slots=True)
class CriticTeaching:
    """`held_out`: share of problems, by their ids, that critics are measured on and never trained on. A step is good
    where a larger share than `process_threshold` of the answers below it is right. `has_heads`: whether there are any
    to be trained; the model's own words need no training."""

    held_out: float
    process_threshold: float
    has_heads: bool

    def is_held_out(self, problem_id: str) -> bool:
        """Whether the critic heads are kept from the problem."""
        return int(problem_id[:HASH_DIGITS], 16) < self.held_out * 16**HASH_DIGITS

    def rows(self, searched: Collection[Searched]) -> dict[int, tuple[tuple[float, float], ...]]:
        """Token node -> (target, weight) of each head, of all problems that are not held out."""
        rows: dict[int, tuple[tuple[float, float], ...]] = {}
        for each in searched:
            if self.has_heads and not self.is_held_out(each.problem.problem_id):
                rows |= critic_targets(each.tree, self.process_threshold)
        return rows


def critic_batch(tree: Tree, rows: Mapping[int, Sequence[tuple[float, float]]]) -> CriticBatch | None:
    """`rows`: node -> (target, weight) for each of HEADS. None for nothing."""
    if not rows:
        return None
    nodes = sorted(with_ancestors(tree.parents, rows))
    index = {node: i for i, node in enumerate(nodes)} | {ROOT: ROOT}
    ends = sorted(rows)
    both = np.array([rows[node] for node in ends], dtype=np.float64)
    return CriticBatch(
        ids=np.array([tree.tokens[n] for n in nodes], dtype=np.int64),
        parents=np.array([index[tree.parents[n]] for n in nodes], dtype=np.int64),
        depths=np.array([tree.depths[n] for n in nodes], dtype=np.int64),
        nodes=np.array([index[node] for node in ends], dtype=np.int64),
        targets=both[:, :, 0],
        weights=both[:, :, 1],
    )
