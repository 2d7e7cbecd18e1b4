"""Log-probabilities of a pack's trained tokens, by the tree pass or by the flat pass, and which of them is cheaper.

Both give the same numbers. The tree pass runs each token once; the flat pass runs one padded row for every leaf
through the model's own attention. A tree without anything shared is better off flat: its attention needs no gather.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from selfplay.learn.batch import TrainBatch
from selfplay.learn.supports import ALL
from selfplay.machine.transfer import to_device
from selfplay.model.adapters import DEFAULT
from selfplay.model.attention.interface import Pass
from selfplay.model.attention.plan import PathPlan, path_matrix, plan_paths
from selfplay.model.head import Drawable
from selfplay.model.policy import Policy
from selfplay.train.choices import PassMode
from selfplay.train.packing import Pack, cut

Mode = Literal["tree", "flat"]

# What one query-key pair costs, in units of what a token costs apart from attention, for a model of width 1. Fitted by
# benchmarks/grid.py to an earlier attention. A fit of today's gives 0.24 and 0.72
# (docs/notebook/performance.md): no choice hung on the difference there, and other values could change the bits of a
# run.
TREE_PAIR_COST = 0.5
FLAT_PAIR_COST = 0.6
ONE_FOR_ALL: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """A pack as one row of ids a leaf: ids [B, L], lengths [B], and [m] the (row, column) that predicts each charged
    token."""

    ids: np.ndarray
    lengths: np.ndarray
    row: np.ndarray
    column: np.ndarray


@dataclass(frozen=True, slots=True)
class PackPass:
    """A pack and how it is run. `tokens`: how many go through the model, padding included. `rows`: in mode "flat".
    `adapter`: the name of that which it is run with."""

    pack: Pack
    mode: Mode
    tokens: int
    rows: PaddedRows | None
    adapter: str = DEFAULT


def passes(
    batch: TrainBatch, budget: int, mode: PassMode, width: int, adapters: Mapping[str, str] = ONE_FOR_ALL
) -> list[PackPass]:
    """The batch, cut into packs of `budget` tokens, and how each is run. `adapters`: label -> the adapter that its
    tokens are said with, where that is not the default one; tokens of two adapters are in two packs."""
    names = [adapters.get(label, DEFAULT) for label in batch.label_names]
    used = {name: [index for index, other in enumerate(names) if other == name] for name in sorted(set(names))}
    return [
        prepare(batch, pack, mode, width, adapter)
        for adapter, labels in used.items()
        for pack in cut(batch, budget, np.flatnonzero(np.isin(batch.labels, labels)).tolist())
    ]


def prepare(batch: TrainBatch, pack: Pack, mode: PassMode, width: int, adapter: str = DEFAULT) -> PackPass:
    """Decides how `pack` is run. "auto" takes the pass that costs less:

        tree: tokens + TREE_PAIR_COST * query-key pairs / width
        flat: B L    + FLAT_PAIR_COST * B L^2 / width

    `width` is the model's hidden size.
    """
    if mode == "tree":
        return PackPass(pack, "tree", len(pack.tokens), None, adapter)
    rows = _rows(batch, pack)
    flat = PackPass(pack, "flat", rows.ids.size, rows, adapter)
    if mode == "flat" or _flat_cost(rows, width) < _tree_cost(batch, pack, width):
        return flat
    return PackPass(pack, "tree", len(pack.tokens), None, adapter)


@contextmanager
def pack_hidden(policy: Policy, batch: TrainBatch, plan: PackPass) -> Iterator[Tensor]:
    """[m, d] hidden states that predict the pack's charged tokens. Run the backward pass inside."""
    with policy.activated(plan.adapter), _hidden(policy, batch, plan) as hidden:
        yield hidden


@contextmanager
def _hidden(policy: Policy, batch: TrainBatch, plan: PackPass) -> Iterator[Tensor]:
    device = policy.device
    if plan.mode == "flat":
        assert plan.rows is not None
        ids, lengths = (to_device(a, device) for a in (plan.rows.ids, plan.rows.lengths))
        hidden = policy.flat_hidden(ids, lengths)
        yield hidden[to_device(plan.rows.row, device), to_device(plan.rows.column, device)]
        return
    current = Pass(tree_plan(batch, plan.pack, device), kernels=policy.kernels)
    depths = batch.depths[plan.pack.tokens]
    ids = to_device(batch.ids[plan.pack.tokens], device)
    with policy.on_paths(current):
        hidden = policy.tree_hidden(ids, to_device(depths, device))
        yield hidden.index_select(0, to_device(plan.pack.sources, device))


def row_temperatures(
    batch: TrainBatch, plan: PackPass, temperatures: Mapping[str, float], device: torch.device
) -> Tensor | None:
    """[m] fp32 of the pack's trained tokens, by their labels; None where all are 1."""
    by_label = np.array([temperatures.get(name, 1.0) for name in batch.label_names], dtype=np.float32)
    rows = by_label[batch.labels[plan.pack.targets]]
    return None if (rows == 1.0).all() else to_device(rows, device)


def row_supports(batch: TrainBatch, plan: PackPass, device: torch.device) -> Drawable | None:
    """What the pack's trained tokens were drawn from, made for a few rows at a time; None where that is all tokens."""
    supports, targets = batch.supports, plan.pack.targets
    if supports is None or (supports.rows[targets] == ALL).all():
        return None
    return lambda part: to_device(supports.drawable(targets[part]), device)


def tree_plan(batch: TrainBatch, pack: Pack, device: torch.device) -> PathPlan:
    """How the pack's tokens attend in the tree pass."""
    parents, depths = _local(batch, pack)
    return plan_paths(parents, depths, np.arange(len(parents)), device)


def _local(batch: TrainBatch, pack: Pack) -> tuple[np.ndarray, np.ndarray]:
    """Parents (as positions in the pack) and depths of the pack's tokens."""
    where = np.full(len(batch.ids) + 1, -1, dtype=np.int64)  # the last entry answers for ROOT
    where[pack.tokens] = np.arange(len(pack.tokens))
    return where[batch.parents[pack.tokens]], batch.depths[pack.tokens]


def _rows(batch: TrainBatch, pack: Pack) -> PaddedRows:
    parents, depths = _local(batch, pack)
    has_child = np.zeros(len(parents) + 1, dtype=bool)
    has_child[parents] = True
    leaves = np.flatnonzero(~has_child[:-1])
    paths = path_matrix(parents, depths, leaves)
    lengths = depths[leaves] + 1
    inside = np.arange(paths.shape[1]) < lengths[:, None]
    ids = np.where(inside, batch.ids[pack.tokens][paths], 0)
    # a token on several rows is charged on the first of them
    row_of = np.zeros(len(parents), dtype=np.int64)
    row_index = np.broadcast_to(np.arange(len(leaves))[:, None], paths.shape)
    row_of[paths[inside][::-1]] = row_index[inside][::-1]
    return PaddedRows(ids, lengths, row_of[pack.sources], depths[pack.sources])


def _flat_cost(rows: PaddedRows, width: int) -> float:
    num_rows, length = rows.ids.shape
    return num_rows * length + FLAT_PAIR_COST * num_rows * length * length / width


def _tree_cost(batch: TrainBatch, pack: Pack, width: int) -> float:
    pairs = tree_plan(batch, pack, torch.device("cpu")).num_pairs
    return len(pack.tokens) + TREE_PAIR_COST * pairs / width
