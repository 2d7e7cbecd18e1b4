"""Variable-length attention by the book, one sequence after the other: what torch's call does on a GPU."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Mask = Callable[[int, int, tuple[int, int]], Tensor]  # queries, keys, window -> [queries, keys] bool


def bottom_right(num_queries: int, num_keys: int, window: tuple[int, int]) -> Tensor:
    """The last query stands at the last key; it sees window[0] keys before that (-1: all) and window[1] behind it."""
    return _band(torch.arange(num_keys - num_queries, num_keys), num_keys, window)


def top_left(num_queries: int, num_keys: int, window: tuple[int, int]) -> Tensor:
    """The first query stands at the first key: how other libraries have it, and wrong for root paths."""
    return _band(torch.arange(num_queries), num_keys, window)


def one_key_more(num_queries: int, num_keys: int, window: tuple[int, int]) -> Tensor:
    """A window that is a key too wide."""
    left = window[0] if window[0] < 0 else window[0] + 1
    return bottom_right(num_queries, num_keys, (left, window[1]))


def plain_varlen(mask: Mask = bottom_right) -> Callable[..., Tensor]:
    """A call like `torch.nn.attention.varlen.varlen_attn`, differentiable, on any device and in any precision."""

    def call(
        query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *,
        scale: float, window_size: tuple[int, int], enable_gqa: bool,
    ) -> Tensor:  # fmt: skip
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert enable_gqa or query.shape[1] == key.shape[1]
        rows = []
        for here, there in zip(_parts(cu_seq_q), _parts(cu_seq_k), strict=True):
            q, k, v = query[here], key[there], value[there]
            assert len(q) <= max_q and len(k) <= max_k
            k, v = (x.repeat_interleave(query.shape[1] // key.shape[1], 1) for x in (k, v))
            scores = torch.einsum("qhd,khd->hqk", q.float(), k.float()) * scale
            scores = scores.masked_fill(~mask(len(q), len(k), window_size).to(q.device), float("-inf"))
            rows.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v.float()).to(query.dtype))
        return torch.cat(rows)

    return call


def _band(own: Tensor, num_keys: int, window: tuple[int, int]) -> Tensor:
    keys = torch.arange(num_keys)
    left, right = window
    seen = keys <= own[:, None] + right if right >= 0 else torch.ones(len(own), num_keys, dtype=torch.bool)
    return seen & (keys >= own[:, None] - left) if left >= 0 else seen


def _parts(cumulated: Tensor) -> list[slice]:
    edges = cumulated.tolist()
    assert edges[0] == 0
    return [slice(a, b) for a, b in pairwise(edges)]
