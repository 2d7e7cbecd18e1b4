"""Attention over a token tree without gathered copies: torch's FlexAttention with a mask of blocks.

Numbered depth first, a node's descendants are the numbers from its own up to where its subtree ends. So a query sees a
key iff

    begin[key] <= begin[query] < end[key]

and, with a sliding window, iff it is less than the window deeper. FlexAttention leaves out blocks of 128 x 128 in which
nobody sees anything. It is compiled for every size that it meets, which takes up to minutes: so passes are padded to
powers of two, and there are few.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from roles.tree import depth_first
from selfplay.machine.transfer import to_device
from selfplay.model.attention.plan import Chains

SMALLEST = 128  # tokens that a pass is padded to: FlexAttention's block

FlexCall = Callable[..., Any]  # flex_attention, compiled or not


@dataclass(frozen=True, slots=True)
class Intervals:
    """Where each of N nodes, which are the queries and the keys of a pass, stands depth first, padded to `size`.

    Padding sees what the first node sees, and nobody sees it.
    """

    begin: Tensor  # [size] int32
    end: Tensor  # [size] int32, behind the last of the node's descendants; 0 for padding
    depth: Tensor  # [size] int32

    @classmethod
    def of(cls, chains: Chains, device: torch.device) -> "Intervals":
        begin, end = intervals(chains.parents)
        size = max(SMALLEST, 1 << (len(begin) - 1).bit_length())
        room = (0, size - len(begin))
        begin, depth = (np.pad(a, room, constant_values=a[0]) for a in (begin, chains.depths))
        return cls(*(to_device(a.astype(np.int32), device) for a in (begin, np.pad(end, room), depth)))

    def blocks(self, window: int | None) -> BlockMask:
        begin, end, depth = self.begin, self.end, self.depth

        reach = len(begin) if window is None else window

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            is_on_path = (begin[key] <= begin[query]) & (begin[query] < end[key])
            return is_on_path & (depth[query] - depth[key] < reach)

        size = len(begin)
        return create_block_mask(sees, None, None, size, size, begin.device.type)


def intervals(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] a node's number depth first, and the number behind its last descendant's; parents [N] come before
    children."""
    above = parents.tolist()
    begin = np.empty(len(above), dtype=np.int64)
    begin[depth_first(above, range(len(above)))] = np.arange(len(above))
    sizes = [1] * len(above)
    for node in range(len(above) - 1, -1, -1):
        if above[node] >= 0:
            sizes[above[node]] += sizes[node]
    return begin, begin + np.array(sizes)


def flex_tree_attention(
    query: Tensor, key: Tensor, value: Tensor, blocks: BlockMask, scale: float, call: FlexCall
) -> Tensor:
    """[N, H, E] attention of query [N, H, D] over key [N, Hkv, D] and value [N, Hkv, E] of the same N tokens."""
    room = blocks.shape[-1] - len(query)
    heads = (torch.nn.functional.pad(x, (0, 0, 0, 0, 0, room)).transpose(0, 1)[None] for x in (query, key, value))
    out: Tensor = call(*heads, block_mask=blocks, scale=scale, enable_gqa=query.shape[1] != key.shape[1])
    return out[0, :, : len(query)].transpose(0, 1)


@lru_cache(maxsize=1)
def compiled_flex() -> FlexCall:
    """FlexAttention as one kernel, compiled when it is first called with a size."""
    return torch.compile(flex_attention, dynamic=False)


def torch_flex(device: torch.device) -> tuple[FlexCall | None, str]:
    """FlexAttention, or None and why it is not there."""
    if device.type != "cuda":
        return None, "torch has its backward pass for CUDA alone"
    return compiled_flex(), ""
