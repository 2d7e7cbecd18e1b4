"""Attention over a path plan, as a Hugging Face attention function named `selfplay_paths`.

The model's own code makes queries, keys and values (projections, norms, rotary positions) of N packed tokens. This
function takes them and gives each token's weighted sum of values, where transformers' own would use a dense mask:

- N tokens of a tree, of which each attends to the tokens on its own path (`Pass.plan`): training, and reading prompts;
- one new token behind each of R paths that are laid out as rows (`Pass.rows`): decoding.

It works for any decoder whose attention goes through transformers' attention interface; selfplay/model/probe.py finds
out at start whether the numbers agree. Scores and softmax are fp32 whatever the model's dtype, so that the order of
packing moves log-probabilities less.

In shapes, N is tokens of a pass, H query heads, Hkv key heads, g = H / Hkv, D numbers of a head's key, E of its value,
R rows, L keys of a row, and S keys that all rows share. Layers may differ in Hkv, D and E.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from selfplay.model.attention.choosing import Kernels
from selfplay.model.attention.long_rows import softmax_beside
from selfplay.model.attention.plan import PathPlan

NAME = "selfplay_paths"
ROOM = 16  # keys that a row can grow by before it is copied to a larger block
LONG_ROW, LONG_ROOM = 1024, 16  # keys from which on it is a sixteenth of them, so that copies stay few


@dataclass(slots=True)
class KeyValues:
    """Keys and values of a tree's nodes, per layer: what a sampler does not compute again.

    Row n of each buffer is node n's. A buffer that is too small is replaced by one with a quarter to spare.
    """

    keys: dict[int, Tensor] = field(default_factory=dict)  # layer -> [capacity, Hkv, D]
    values: dict[int, Tensor] = field(default_factory=dict)  # layer -> [capacity, Hkv, E]

    def write(self, layer: int, at: "Places", key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores key [N, Hkv, D] and value [N, Hkv, E] of N nodes; returns the layer's whole buffers."""
        for store, rows in ((self.keys, key), (self.values, value)):
            buffer = store.get(layer)
            if buffer is None or buffer.shape[0] < at.size:
                grown = rows.new_zeros(at.size + at.size // 4, *rows.shape[1:])
                if buffer is not None:
                    grown[: buffer.shape[0]] = buffer
                store[layer] = buffer = grown
            buffer[at.nodes] = rows
        return self.keys[layer], self.values[layer]


@dataclass(frozen=True, slots=True)
class Places:
    """Where in `KeyValues` the tokens of a pass stand. `size`: rows that this takes, known without asking a GPU."""

    nodes: Tensor  # [N] int64
    size: int

    @classmethod
    def of(cls, nodes: np.ndarray, device: torch.device) -> "Places":
        return cls(torch.from_numpy(nodes).to(device), int(nodes.max()) + 1)


@dataclass(slots=True)
class Shared:
    """Keys and values of the path that all rows begin with, per layer: read once for all of them."""

    length: int  # S
    keys: dict[int, Tensor]  # layer -> [Hkv, S, D]
    values: dict[int, Tensor]  # layer -> [Hkv, S, E]


@dataclass(slots=True)
class Rows:
    """Keys and values of R paths that grow by a token at a time: what decoding reads.

    They are a copy of numbers in `KeyValues`, in the layout of the products: what all paths begin with once, the rest
    of each path as a row. A copy, because gathering every path anew for every token costs more than the products.
    Blocks are larger than the rows in them, and products run over whole blocks, with the room behind a row's end
    masked: a part of a block is not contiguous and would be copied for each product.
    """

    shared: Shared
    lengths: Tensor  # [R] int64, keys that each row has behind the shared ones
    keys: dict[int, Tensor]  # layer -> [R, Hkv, capacity, D]
    values: dict[int, Tensor]  # layer -> [R, Hkv, capacity, E]
    longest: int  # the largest of `lengths`, known without asking a GPU
    _masks: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict, repr=False)  # of this token

    @classmethod
    def gathered(cls, memory: KeyValues, paths: Tensor, lengths: Tensor, num_shared: int) -> "Rows":
        """Copies from `memory` what the paths need: `paths` [R, L] nodes, row i valid up to lengths[i] (lengths [R]).

        The first `num_shared` nodes are the same in all rows.
        """
        common, own = paths[0, :num_shared], paths[:, num_shared:]

        def gather(buffer: Tensor, nodes: Tensor) -> Tensor:
            rows = buffer.index_select(0, nodes.reshape(-1)).view(*nodes.shape, *buffer.shape[1:])
            return rows.transpose(-3, -2)

        both = (memory.keys, memory.values)
        shared = Shared(num_shared, *({i: gather(b, common).contiguous() for i, b in kept.items()} for kept in both))
        keys, values = ({i: _with_room(gather(b, own)) for i, b in kept.items()} for kept in both)
        return cls(shared, lengths - num_shared, keys, values, own.shape[1])

    @property
    def capacity(self) -> int:
        """How many keys a row has room for behind the shared ones."""
        return next(iter(self.keys.values())).shape[2]

    def select(self, rows: Tensor) -> None:
        """Keeps the given rows [R'], in that order; one may come several times. Copies one layer at a time, so that the
        old and the new blocks never exist whole side by side."""
        self.lengths = self.lengths.index_select(0, rows)
        self._masks.clear()
        for kept in (self.keys, self.values):
            for layer, block in kept.items():
                kept[layer] = block.index_select(0, rows)

    @contextmanager
    def growing(self) -> Iterator[None]:
        """A pass that appends one token to every row, in every layer."""
        self._make_room()
        yield
        self.lengths = self.lengths + 1
        self.longest += 1
        self._masks.clear()

    def _make_room(self) -> None:
        if self.capacity == self.longest:
            for kept in (self.keys, self.values):
                for layer, block in kept.items():
                    kept[layer] = _with_room(block)

    def append(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Writes key [R, Hkv, D] and value [R, Hkv, E] of one token at each row's end; inside `growing`."""
        every = torch.arange(len(self.lengths), device=self.lengths.device)
        self.keys[layer][every, :, self.lengths] = key
        self.values[layer][every, :, self.lengths] = value

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """[R, 1, 1, S + capacity] additive mask, 0 or -inf: the new token of a row sees the shared keys, its row's keys
        and itself, as far as `window` reaches (None: all)."""
        if (window, dtype) not in self._masks:
            keys = torch.arange(self.shared.length + self.capacity, device=self.lengths.device)
            own = self.shared.length + self.lengths[:, None]
            seen = keys <= own
            if window is not None:
                seen &= keys > own - window
            zero = torch.zeros((), dtype=dtype, device=keys.device)
            self._masks[window, dtype] = torch.where(seen, zero, float("-inf"))[:, None, None]
        return self._masks[window, dtype]


def _with_room(rows: Tensor) -> Tensor:
    """[R, H, L + room, D]: rows [R, H, L, D] with room for more keys. The room is zero, since a masked weight of 0
    times NaN would be NaN."""
    length = rows.shape[2]
    room = ROOM if length < LONG_ROW else length // LONG_ROOM
    block = rows.new_zeros(rows.shape[0], rows.shape[1], length + room, rows.shape[3])
    block[:, :, :length] = rows
    return block


Watch = Callable[[Tensor, Tensor, Tensor, PathPlan, int | None, float, float | None, Tensor | None], None]


@dataclass(slots=True)
class Pass:
    """What the attention of one forward pass over N tokens reads.

    Either a `plan`, which says which keys each token sees, or `rows`, each of which gets one token more. A sampler's
    pass also has the `memory` that its keys and values go to, and their `places` there; a plan's keys are then nodes
    of the memory, and otherwise tokens of the pass itself. `kernels`: what may compute the plan's attention. `watch`
    is called with every layer's arguments before that.
    """

    plan: PathPlan | None
    memory: KeyValues | None = None
    places: Places | None = None
    rows: Rows | None = None
    kernels: Kernels = Kernels()  # noqa: RUF009  frozen
    watch: Watch | None = None


_current: ContextVar[Pass] = ContextVar("selfplay_path_pass")


@contextmanager
def attending(current: Pass) -> Iterator[None]:
    """Runs the model, and a backward pass that may recompute it, with the attention of `current`."""
    token = _current.set(current)
    try:
        with current.rows.growing() if current.rows is not None else nullcontext():
            yield
    finally:
        _current.reset(token)


def path_attention(
    module: nn.Module,
    query: Tensor,  # [1, H, N, D]
    key: Tensor,  # [1, Hkv, N, D]
    value: Tensor,  # [1, Hkv, N, E]
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of N queries, each over the keys on its own path. Returns [1, N, H, E], as the interface wants it.

    s_aux: [H], what transformers calls attention sinks: a score of each head that takes part in the softmax and has no
    value. Raises ValueError for any other parameter, which would be left out, though it may not change anything yet.
    """
    if unknown := [name for name, value in others.items() if isinstance(value, nn.Parameter)]:
        raise ValueError(f"its attention has parameters that ours does not read: {', '.join(unknown)}")
    current = _current.get()
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    queries, keys, values = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))  # [N, heads, D or E]
    if current.memory is not None:
        assert current.places is not None and isinstance(module.layer_idx, int)
        buffers = current.memory.write(module.layer_idx, current.places, keys, values)
    else:
        buffers = keys, values
    if current.rows is not None:
        assert isinstance(module.layer_idx, int)
        current.rows.append(module.layer_idx, keys, values)
        return _continue_rows(query, current.rows, module.layer_idx, sliding_window, scale, softcap, s_aux), None
    assert current.plan is not None
    arguments = (queries, *buffers, current.plan, sliding_window, scale, softcap, s_aux)
    if current.watch is not None:
        current.watch(*arguments)
    return current.kernels.attend(*arguments)[None], None


def _continue_rows(
    query: Tensor, rows: Rows, layer: int, window: int | None, scale: float, softcap: float | None, sinks: Tensor | None
) -> Tensor:
    """[1, R, H, E] attention of query [1, H, R, D], one new token a row, whose keys have been appended.

    The g query heads that share a key head are treated as g queries of it.
    """
    num_heads, num_rows = query.shape[1:3]
    keys, values, num_shared = rows.keys[layer], rows.values[layer], rows.shared.length
    q = query[0].transpose(0, 1).reshape(num_rows, keys.shape[1], num_heads // keys.shape[1], -1)
    products = _by_head(q, rows.shared.keys[layer].mT), q @ keys.mT
    scores = torch.cat(products, -1).float().mul_(scale)
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    scores.add_(rows.mask(window, torch.float32))
    if sinks is None:
        weights = scores.softmax(-1).to(values.dtype)
    else:
        weights = softmax_beside(scores, sinks.view(keys.shape[1], -1))[0].to(values.dtype)
    own = weights[..., num_shared:] @ values
    out = own.add_(_by_head(weights[..., :num_shared], rows.shared.values[layer]))
    return out.reshape(1, num_rows, num_heads, -1)


def _by_head(rows: Tensor, shared: Tensor) -> Tensor:
    """[R, Hkv, g, B]: rows [R, Hkv, g, A] times shared [Hkv, A, B], which is the same for all rows."""
    stacked = rows.transpose(0, 1).flatten(1, 2) @ shared
    return stacked.view(rows.shape[1], rows.shape[0], rows.shape[2], shared.shape[2]).transpose(0, 1)


AttentionInterface.register(NAME, path_attention)
