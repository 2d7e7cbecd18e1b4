"""Cut a forest into packs that each fit a token budget.

A pack is a set of tokens closed under ancestors. Every token belongs to exactly one pack; an ancestor that other
packs need is repeated there as context. A trained token is charged where its parent belongs, since the parent's
hidden state predicts it: so each is charged once, whatever the cut, and leaves are not run through the model.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from roles.tree import ROOT, depth_first, with_ancestors
from selfplay.learn.batch import TrainBatch


@dataclass(frozen=True, slots=True)
class Pack:
    """One forward and backward pass.

    tokens: [N] indices into the batch, parents first, runs of parent and child together.
    sources, targets: [m] for each trained token charged here, the position in `tokens` of its parent, and its row
    among the batch's trained tokens.
    """

    tokens: np.ndarray
    sources: np.ndarray
    targets: np.ndarray


def cut(batch: TrainBatch, budget: int, rows: Sequence[int] | None = None) -> list[Pack]:
    """Packs of at most `budget` tokens where possible; a single root-to-leaf run may be longer. `rows`: those of the
    batch's trained tokens that are charged; None for all."""
    parents: list[int] = batch.parents.tolist()
    rows_of: dict[int, list[int]] = {}
    targets: list[int] = batch.targets.tolist()
    for row in range(len(targets)) if rows is None else rows:
        rows_of.setdefault(parents[targets[row]], []).append(row)
    owned = _assign(parents, _runs(parents, rows_of), budget)
    # a pack that predicts no trained token has no loss; others repeat its tokens where they need them
    charging = [own for own in owned if any(node in rows_of for node in own)]
    return [_pack(parents, own, rows_of) for own in charging]


@dataclass(slots=True)
class _Run:
    """A run of tokens without a branch inside, and the runs below it."""

    tokens: list[int]
    children: list["_Run"]
    size: int = 0  # tokens here and below


def _runs(parents: Sequence[int], predicting: Iterable[int]) -> list[_Run]:
    """The forest of inputs (the tokens that predict a trained one, and their ancestors), compressed to runs."""
    order = depth_first(parents, sorted(with_ancestors(parents, predicting)))
    children: dict[int, list[int]] = {}
    for node in order:
        children.setdefault(parents[node], []).append(node)
    made: dict[int, _Run] = {}
    starts = [node for node in order if parents[node] == ROOT or len(children[parents[node]]) > 1]
    for start in reversed(starts):
        tokens = [start]
        while len(below := children.get(tokens[-1], [])) == 1:
            tokens.append(below[0])
        run = _Run(tokens, [made[child] for child in below])
        run.size = len(tokens) + sum(child.size for child in run.children)
        made[start] = run
    return [made[node] for node in children.get(ROOT, [])]


def _assign(parents: Sequence[int], roots: Sequence[_Run], budget: int) -> list[list[int]]:
    """Which tokens each pack owns: whole subtrees while they fit, else a run and then its children one by one."""
    packs: list[list[int]] = [[]]
    present: set[int] = set()  # owned by the current pack, or repeated in it
    stack = list(reversed(roots))
    nothing: list[_Run] = []
    while stack:
        run = stack.pop()
        above = _ancestors(parents, run, known=present)
        if len(present) + len(above) + run.size <= budget:
            units, rest = _tokens_below(run), nothing
        elif present and len(_ancestors(parents, run)) + run.size <= budget:  # fits a pack of its own
            units, rest = _tokens_below(run), nothing
            packs.append([])
            present, above = set(), _ancestors(parents, run)
        else:
            units, rest = run.tokens, run.children
            if present and len(present) + len(above) + len(units) > budget:
                packs.append([])
                present, above = set(), _ancestors(parents, run)
        packs[-1].extend(units)
        present.update(above, units)
        stack.extend(reversed(rest))
    return [pack for pack in packs if pack]


def _ancestors(parents: Sequence[int], run: _Run, known: AbstractSet[int] = frozenset()) -> set[int]:
    return with_ancestors(parents, run.tokens[:1], known) - {run.tokens[0]}


def _tokens_below(run: _Run) -> list[int]:
    tokens, stack = [], [run]
    while stack:
        top = stack.pop()
        tokens.extend(top.tokens)
        stack.extend(reversed(top.children))
    return tokens


def _pack(parents: Sequence[int], own: Sequence[int], rows_of: Mapping[int, Sequence[int]]) -> Pack:
    tokens = depth_first(parents, sorted(with_ancestors(parents, own)))
    position = {node: i for i, node in enumerate(tokens)}
    charged = [(position[node], row) for node in own for row in rows_of.get(node, ())]
    sources, targets = zip(*charged, strict=True)
    return Pack(np.array(tokens), np.array(sources), np.array(targets))
