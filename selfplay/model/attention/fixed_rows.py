"""Rows for decoding in shapes that stay: what a step reads and writes lies at the same addresses token after token.

So a CUDA graph of one step can be run again for the next token. `Rows` (interface.py) makes new blocks as paths grow;
here a block has a capacity, a multiple of a few sizes, and how much of each row is filled is a tensor. The room behind
a row's end is masked.

In shapes, R is rows, C their capacity, S keys that all rows share, Hkv key heads, D and E numbers of a key and value.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfplay.model.attention.interface import KeyValues, Places, Rows, Shared

AT_ONCE = 4096  # keys that are copied to the memory together: bounds the copy


@dataclass(slots=True)
class FixedRows(Rows):
    """Rows that never move. Whoever runs the pass adds to `lengths`, since not every row goes on."""

    @contextmanager
    def growing(self) -> Iterator[None]:
        """A pass that appends one token to every row, in every layer; each row has room for it."""
        self._masks.clear()
        yield
        self._masks.clear()

    def remember(self, memory: KeyValues, nodes: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> None:
        """Puts keys and values at slots [M] of rows [M] into `memory`, as those of nodes [M], which are distinct."""
        device = self.lengths.device
        for start in range(0, len(nodes), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            at_row, at_slot = (torch.from_numpy(of[part]).to(device) for of in (rows, slots))
            places = Places.of(nodes[part], device)
            for layer, keys in self.keys.items():
                memory.write(layer, places, keys[at_row, :, at_slot], self.values[layer][at_row, :, at_slot])


class RowPool:
    """Memory for the keys and values of all rows, taken once: `num_keys` of them in every layer.

    Rows of any R and C are views of it, shared keys in front, so that equal shapes have equal addresses.
    """

    def __init__(self, like: KeyValues, num_keys: int) -> None:
        both = (like.keys, like.values)
        self._widths = [{layer: (b.shape[1], b.shape[2]) for layer, b in kept.items()} for kept in both]
        self._flat = [{layer: b.new_zeros(num_keys * b[0].numel()) for layer, b in kept.items()} for kept in both]

    def view(self, lengths: Tensor, capacity: int, num_shared: int) -> FixedRows:
        """Rows of `lengths` [R] behind `num_shared` shared keys, with whatever numbers are there."""
        made = FixedRows(Shared(num_shared, {}, {}), lengths, {}, {}, longest=0)
        places = ((made.shared.keys, made.keys), (made.shared.values, made.values))
        for flat, widths, (shared, own) in zip(self._flat, self._widths, places, strict=True):
            for layer, (heads, width) in widths.items():
                border = num_shared * heads * width
                end = border + len(lengths) * heads * capacity * width
                shared[layer] = flat[layer][:border].view(heads, num_shared, width)
                own[layer] = flat[layer][border:end].view(len(lengths), heads, capacity, width)
        return made

    def filled(self, lengths: Tensor, capacity: int, num_shared: int, memory: KeyValues, paths: Tensor) -> FixedRows:
        """Rows with the keys and values of `paths` [R0, L] nodes in their first R0 rows. The first `num_shared` nodes
        are the same in all paths, and are kept as shared ones."""
        made = self.view(lengths, capacity, num_shared)
        common, own = paths[0, :num_shared], paths[:, num_shared:]
        for kept, shared, rows in (
            (memory.keys, made.shared.keys, made.keys),
            (memory.values, made.shared.values, made.values),
        ):
            for layer, buffer in kept.items():
                shared[layer].copy_(buffer.index_select(0, common).transpose(0, 1))
                for row, nodes in enumerate(own):  # one row's copy at a time
                    rows[layer][row, :, : own.shape[1]] = buffer.index_select(0, nodes).transpose(0, 1)
        return made

    def moved(self, rows: FixedRows, kept: Tensor, lengths: Tensor, capacity: int) -> FixedRows:
        """Rows of `lengths` [R'] whose first ones are rows `kept` of `rows`, in another capacity. The old ones are
        overwritten, a layer at a time."""
        made = self.view(lengths, capacity, rows.shared.length)
        for old, new in ((rows.keys, made.keys), (rows.values, made.values)):
            for layer, block in old.items():
                both = min(block.shape[2], capacity)
                part = block[:, :, :both].index_select(0, kept)  # a copy: the two lie over each other
                new[layer][: len(kept), :, :both] = part
        return made


def key_bytes(memory: KeyValues) -> int:
    """Bytes that the keys and values of one token take in all layers of `memory`."""
    return sum(buffer[0].nbytes for kept in (memory.keys, memory.values) for buffer in kept.values())
