"""Which key each query sees when a token tree runs through a model: the path plan.

A token sees its own path from the root and nothing else. A dense mask costs the square of the tree; this plan costs at
most what a flat batch of root-to-leaf rows would. Queries are cut into chains, runs of parent and child. A chain of Q
tokens, whose last token has a path of L, needs one row of the L keys on that path: its j-th query (from 0) sees the
first L - Q + 1 + j of them. Rows of similar size are padded together into a bucket, which becomes two batched matrix
products (selfplay/model/attention/kernel.py).

`Bucket.shared` is the number of keys that all rows of a bucket begin with. Gradients of these keys are summed over the
rows before they are added; the keys themselves are still read once for every row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from roles.tree import ROOT
from selfplay.machine.transfer import to_device

BUCKET_OVERHEAD = 30_000  # query-key pairs that cost as much as one more bucket (docs/notebook/performance.md)

# queries of a chain above which it is a bucket of its own, whose weights never exist all at once (long_rows.py)
LONG = 512
MOST_KEPT_MASK = 1 << 22  # pairs of a bucket whose mask is kept from layer to layer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chains:
    """The runs of parent and child that a pass's queries are cut into: R chains of N queries, one after the other.

    Chain r has `widths[r]` queries from query `starts[r]` on, and its last one's path has `lengths[r]` keys.
    """

    parents: np.ndarray  # [K] of all nodes of the key buffer
    depths: np.ndarray  # [K]
    queries: np.ndarray  # [N] nodes
    starts: np.ndarray  # [R]
    widths: np.ndarray  # [R]
    lengths: np.ndarray  # [R]

    @classmethod
    def of(cls, parents: np.ndarray, depths: np.ndarray, queries: np.ndarray) -> "Chains":
        starts = np.flatnonzero(np.append(True, parents[queries[1:]] != queries[:-1]))
        widths = np.diff(np.append(starts, len(queries)))
        return cls(parents, depths, queries, starts, widths, depths[queries[starts + widths - 1]] + 1)

    @property
    def ends(self) -> np.ndarray:
        """[R] the node of each chain's last query."""
        return self.queries[self.starts + self.widths - 1]

    @property
    def copies(self) -> float:
        """The sum of the paths' lengths over the number of nodes: how often a node is copied, on average."""
        return float(self.lengths.sum()) / max(1, len(self.parents))


@dataclass(frozen=True, slots=True)
class RootPaths:
    """The chains of a pass as one call of variable-length attention takes them: without padding.

    The queries stand as they are. Chain r's are those from cu_seq_q[r] to cu_seq_q[r + 1], and its keys those that
    key_index names from cu_seq_k[r] to cu_seq_k[r + 1]. Its last query sees all of them, the one before it one fewer:
    a causal mask that is aligned at the bottom right.
    """

    key_index: Tensor  # [S] int64, index into the key buffer; S is the sum of the paths' lengths
    cu_seq_q: Tensor  # [R + 1] int32
    cu_seq_k: Tensor  # [R + 1] int32
    max_q: int
    max_k: int

    @classmethod
    def of(cls, chains: Chains, device: torch.device) -> "RootPaths":
        paths = path_matrix(chains.parents, chains.depths, chains.ends)
        key_index = paths[np.arange(paths.shape[1]) < chains.lengths[:, None]]
        return cls(
            to_device(key_index, device), _cumulated(chains.widths, device), _cumulated(chains.lengths, device),
            int(chains.widths.max()), int(chains.lengths.max()),
        )  # fmt: skip


def _cumulated(sizes: np.ndarray, device: torch.device) -> Tensor:
    """[R + 1] int32 sums of the sizes [R] before each place."""
    return to_device(np.append(0, sizes.cumsum()).astype(np.int32), device)


@dataclass(slots=True)
class Bucket:
    """R rows, each one chain of queries and the keys on its path, padded to Q queries and L keys."""

    query_index: Tensor  # [R, Q] int64, index of the query in the forward pass; padding repeats the row's first
    key_index: Tensor  # [R, L] int64, index of the key in the key buffer; padding is 0 and masked
    lengths: Tensor  # [R] int64, keys of the row's last query
    widths: Tensor  # [R] int64, queries in the row
    shared: int  # leading keys that are the same in all rows
    is_long: bool = False  # a single chain of more than LONG queries
    _slots: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def slots(self, num_heads: int, num_kv_heads: int) -> tuple[Tensor, Tensor]:
        """Indices of the row's queries [R, Hkv, H / Hkv, Q] into [N * H] single heads, and of its keys [R, Hkv, L] into
        [M * Hkv]. Made once per forward pass."""
        if (num_heads, num_kv_heads) not in self._slots:
            heads = torch.arange(num_heads, device=self.key_index.device)
            queries = self.query_index[:, None, None] * num_heads + heads.view(num_kv_heads, -1, 1)
            keys = self.key_index[:, None] * num_kv_heads + heads[:num_kv_heads, None]
            self._slots[num_heads, num_kv_heads] = queries, keys
        return self._slots[num_heads, num_kv_heads]

    def padding(self) -> Tensor:
        """[R, 1, 1, Q, 1] bool: whether a query is padding."""
        steps = torch.arange(self.query_index.shape[1], device=self.widths.device)
        return (steps >= self.widths[:, None])[:, None, None, :, None]

    def visible(self, window: int | None) -> Tensor:
        """[R, Q, L] bool: query t sees key j iff j <= its own position (and, with a sliding window, is within it)."""
        num_queries, num_keys = self.query_index.shape[1], self.key_index.shape[1]
        device = self.key_index.device
        own = (self.lengths - self.widths)[:, None] + torch.arange(num_queries, device=device)  # [R, Q]
        own = torch.minimum(own, (self.lengths - 1)[:, None])[:, :, None]  # padded queries see the whole row
        keys = torch.arange(num_keys, device=device)
        seen = keys <= own
        return seen if window is None else seen & (keys > own - window)


@dataclass(slots=True)
class PathPlan:
    """All buckets of one forward pass over N tokens, and where each token's output row stands among theirs."""

    buckets: list[Bucket]
    output_index: Tensor  # [N] int64: token n's row in the buckets' outputs laid end to end
    num_pairs: int  # query-key pairs, outside long chains with padding and what a mask hides: what attention costs
    chains: Chains
    _masks: dict[tuple[int, int | None, torch.dtype], Tensor] = field(default_factory=dict, repr=False)
    _output_slots: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _layouts: dict[object, Any] = field(default_factory=dict, repr=False)

    def root_paths(self) -> RootPaths:
        """The same chains without padding."""
        return self.once("root paths", lambda: RootPaths.of(self.chains, self.output_index.device))

    def once(self, name: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once per forward pass: another layout of the same chains."""
        if name not in self._layouts:
            self._layouts[name] = make()
        made: T = self._layouts[name]
        return made

    def output_slots(self, num_heads: int) -> Tensor:
        """[N * H] int64: index of each head of each token into the buckets' outputs [R, H, Q], flat and laid end to
        end."""
        if num_heads not in self._output_slots:
            grids, offset = [], 0
            for bucket in self.buckets:
                num_rows, num_queries = bucket.query_index.shape
                grid = torch.arange(offset, offset + bucket.query_index.numel() * num_heads)
                grids.append(grid.view(num_rows, num_heads, num_queries).transpose(1, 2).reshape(-1, num_heads))
                offset += grid.numel()
            self._output_slots[num_heads] = torch.cat(grids).to(self.output_index.device)[self.output_index].reshape(-1)
        return self._output_slots[num_heads]

    def mask(self, bucket: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """[R, 1, 1, Q, L] additive mask, 0 or -inf, made once per forward pass unless it is large."""
        key = (bucket, window, dtype)
        if key not in self._masks:
            seen = self.buckets[bucket].visible(window)
            zero = torch.zeros((), dtype=dtype, device=seen.device)
            made = torch.where(seen, zero, float("-inf"))[:, None, None]
            if made.numel() > MOST_KEPT_MASK:
                return made
            self._masks[key] = made
        return self._masks[key]


def path_matrix(parents: np.ndarray, depths: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """[R, L] nodes: row i is the path from the root to nodes[i], column d its node at depth d; 0 beyond its end."""
    paths = np.zeros((len(nodes), int(depths[nodes].max()) + 1), dtype=np.int64)
    rows, current = np.arange(len(nodes)), nodes
    while len(current):
        paths[rows, depths[current]] = current
        current = parents[current]
        inside = current != ROOT
        rows, current = rows[inside], current[inside]
    return paths


def common_prefix(paths: np.ndarray) -> int:
    """How many leading columns of a path matrix [R, L] are the same in all rows, no more than the shortest has."""
    differs = np.append((paths != paths[0]).any(0), True)
    return int(differs.argmax())


def plan_paths(parents: np.ndarray, depths: np.ndarray, queries: np.ndarray, device: torch.device) -> PathPlan:
    """The plan for the attention of `queries` over a buffer of keys that is indexed by node.

    queries: [N] nodes, parents before children; parents, depths: [K] of all nodes of the buffer. Every ancestor of a
    query must be in the buffer when the attention runs: from an earlier pass, or as a query of this one.
    """

    chains = Chains.of(parents, depths, queries)
    starts, widths, lengths = chains.starts, chains.widths, chains.lengths
    buckets, output_index, num_pairs, offset = [], np.empty(len(queries), dtype=np.int64), 0, 0
    for rows in _group_rows(widths, lengths):
        bucket_widths, bucket_starts = widths[rows], starts[rows]
        num_queries = int(bucket_widths.max())
        steps = np.arange(num_queries)
        inside = steps < bucket_widths[:, None]  # [R, Q]
        query_index = np.where(inside, bucket_starts[:, None] + steps, bucket_starts[:, None])
        output_index[query_index[inside]] = (offset + np.arange(inside.size).reshape(inside.shape))[inside]
        offset += inside.size
        key_index = path_matrix(parents, depths, queries[bucket_starts + bucket_widths - 1])
        is_long = num_queries > LONG
        num_pairs += inside.size * key_index.shape[1] - is_long * num_queries * (num_queries - 1) // 2
        arrays = (query_index, key_index, lengths[rows], bucket_widths)
        q, k, length, width = (to_device(array, device) for array in arrays)
        buckets.append(Bucket(q, k, length, width, common_prefix(key_index), is_long))
    return PathPlan(buckets, to_device(output_index, device), num_pairs, chains)


def _group_rows(widths: np.ndarray, lengths: np.ndarray) -> Sequence[np.ndarray]:
    """Groups of rows to be padded together. Rows [R] are sorted by size and grouped by classes of it; neighbouring
    groups are merged while the padding that this adds costs less than BUCKET_OVERHEAD. Long rows stay alone."""
    long = [np.array([row]) for row in np.flatnonzero(widths > LONG)]
    order = np.lexsort((lengths, widths))
    order = order[widths[order] <= LONG]
    classes = np.ceil(np.log2(widths[order])).astype(np.int64)
    groups = [order[classes == c] for c in np.unique(classes)]
    merged: list[np.ndarray] = []
    for group in groups:
        for part in _split_by_length(group, widths, lengths):
            if merged:
                together = np.concatenate([merged[-1], part])
                saved = _padded(merged[-1], widths, lengths) + _padded(part, widths, lengths) + BUCKET_OVERHEAD
                if _padded(together, widths, lengths) <= saved:
                    merged[-1] = together
                    continue
            merged.append(part)
    return [*merged, *long]


def _split_by_length(group: np.ndarray, widths: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    group = group[np.argsort(lengths[group], kind="stable")]
    classes = np.ceil(np.log2(lengths[group]) * 2).astype(np.int64)  # steps of about 1.4x
    return [group[classes == c] for c in np.unique(classes)]


def _padded(rows: np.ndarray, widths: np.ndarray, lengths: np.ndarray) -> int:
    return int(len(rows) * widths[rows].max() * lengths[rows].max())
