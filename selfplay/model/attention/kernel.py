"""Softmax attention over a path plan: every query against the keys on its own path, with a backward pass of its own.

Time goes into the number of operations and the memory they touch, not into arithmetic. So rows are gathered head by
head, straight into the layout of the products. Of the large tensors only the softmax weights are kept for the backward
pass. And a query stands in one row only, so that its gradient is gathered, not added up. Through autograd and
checkpoints the same took more than twice as long (docs/notebook/performance.md).

Shapes: N queries, H query heads, M keys, Hkv key heads, g = H / Hkv, D numbers of a head's query or key, E of its value
(most models have D = E; DeepSeek's latent attention does not). A bucket of the plan has R rows of Q queries and L keys;
its products are batches of R * Hkv matrices, in which the g query heads that share a key head stand as g * Q queries.
A long chain is a bucket of its own, and never has all of its weights in memory (long_rows.py).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from selfplay.model.attention.long_rows import Kind, attend_long, long_slopes, softmax_beside
from selfplay.model.attention.plan import Bucket, PathPlan

KEPT_BYTES = (
    32 << 20
)  # of a bucket's weights in one layer; more are made again in the backward pass, with the same bits


def tree_attention(
    query: Tensor, key: Tensor, value: Tensor, plan: PathPlan, window: int | None, scale: float, softcap: float | None,
    sinks: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """[N, H, E] attention of query [N, H, D] over key [M, Hkv, D] and value [M, Hkv, E], by the plan.

    For each query q, softmax(cap(scale q K^T)) V over the keys K on its path, not more than `window` back (None: all),
    with cap(x) = softcap tanh(x / softcap), or x without a softcap. With `sinks` [H] the softmax is over the scores and
    the head's sink, whose share is given to no value. Products are in the tensors' dtype; the softmax, and the
    gradients of a key summed over the rows that read it, are fp32.
    """
    return _TreeAttention.apply(query, key, value, sinks, plan, window, scale, softcap)


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None,
        plan: PathPlan, window: int | None, scale: float, softcap: float | None,
    ) -> Tensor:  # fmt: skip
        kind = Kind(window, scale, softcap, sinks)
        rows: list[Tensor] = []
        kept: list[Tensor | None] = []
        others: list[Tensor | None] = []
        for number, bucket in enumerate(plan.buckets):
            at_queries, at_keys = bucket.slots(query.shape[1], key.shape[1])
            q, k, v = _gathered(query, at_queries), _gathered(key, at_keys), _gathered(value, at_keys)
            if bucket.is_long:
                out, log_sums = attend_long(q.view(query.shape[1], -1, query.shape[2]), k, v, kind)
                rows.append(out.reshape(len(k), -1, value.shape[2]))
                kept.append(out)
                others.append(log_sums)
                continue
            weights, share = _weights(q, k, plan, number, kind)
            rows.append(weights @ v)
            is_kept = weights.nbytes <= KEPT_BYTES
            kept.append(weights if is_kept else None)
            others.append(share if is_kept else None)
        ctx.save_for_backward(query, key, value, sinks, *kept, *others)
        ctx.plan, ctx.window, ctx.scale, ctx.softcap = plan, window, scale, softcap
        return _in_order(rows, plan, query.shape[1], value.shape[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        query, key, value, sinks, *saved = ctx.saved_tensors
        buckets = ctx.plan.buckets
        kept, others = saved[: len(buckets)], saved[len(buckets) :]
        kind = Kind(ctx.window, ctx.scale, ctx.softcap, sinks)
        rows = []
        grad_key, grad_value = (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
        grad_sinks = None if sinks is None else torch.zeros_like(sinks, dtype=torch.float32)
        for number, (bucket, weights, share) in enumerate(zip(buckets, kept, others, strict=True)):
            at_queries, at_keys = bucket.slots(query.shape[1], key.shape[1])
            q, k = _gathered(query, at_queries), _gathered(key, at_keys)
            out = _gathered(grad, at_queries)
            if bucket.is_long:
                heads, values = (query.shape[1], -1), _gathered(value, at_keys)
                q, out = q.view(*heads, query.shape[2]), out.view(*heads, value.shape[2])
                of_queries, of_keys, of_values, of_sinks = long_slopes(out, q, k, values, weights, share, kind)
                # all queries and keys are scaled at the end
                rows.append(of_queries.div_(ctx.scale).reshape(len(k), -1, query.shape[2]))
                _add_by_key(grad_key, of_keys.div_(ctx.scale), bucket)
                _add_by_key(grad_value, of_values, bucket)
                if grad_sinks is not None and of_sinks is not None:
                    grad_sinks += of_sinks
                continue
            if weights is None:
                weights, share = _weights(q, k, ctx.plan, number, kind)
            out.view(*at_queries.shape, -1).masked_fill_(bucket.padding(), 0.0)  # whose output went nowhere
            _add_by_key(grad_value, weights.mT @ out, bucket)
            slopes = out @ _gathered(value, at_keys).mT
            if grad_sinks is not None and share is not None:  # d weight / d sink = -weight times the sink's own
                along = (weights.float() * slopes).sum(-1).view_as(share)
                grad_sinks -= (share * along).sum((0, 3, 4)).view(-1)
            slopes = torch.ops.aten._softmax_backward_data(slopes, weights, -1, slopes.dtype)
            if ctx.softcap is not None:
                capped = _scores(q, k, ctx.scale, ctx.softcap) / ctx.softcap
                slopes = slopes * (1 - capped.square()).to(slopes.dtype)
            rows.append(slopes @ k)
            _add_by_key(grad_key, slopes.mT @ q, bucket)
        grad_query = _in_order(rows, ctx.plan, query.shape[1], query.shape[2]).mul_(ctx.scale)
        grad_key = grad_key.mul_(ctx.scale).to(key.dtype)
        if grad_sinks is not None:
            grad_sinks = grad_sinks.to(sinks.dtype)
        return grad_query, grad_key, grad_value.to(value.dtype), grad_sinks, *[None] * 4


def _weights(q: Tensor, k: Tensor, plan: PathPlan, number: int, kind: Kind) -> tuple[Tensor, Tensor | None]:
    """Softmax weights [R * Hkv, g * Q, L] of a bucket in the keys' dtype, and the sinks' own [R, Hkv, g, Q, 1], of its
    q [R * Hkv, g * Q, D] and k [R * Hkv, L, D]."""
    bucket = plan.buckets[number]
    num_rows, num_queries = bucket.query_index.shape
    num_kv_heads = len(k) // num_rows
    scores = _scores(q, k, kind.scale, kind.softcap)
    every = scores.view(num_rows, num_kv_heads, -1, num_queries, scores.shape[2])
    every.add_(plan.mask(number, kind.window, torch.float32))
    if kind.sinks is None:
        return scores.softmax(-1).to(k.dtype), None
    weights, share = softmax_beside(every, kind.sinks.view(num_kv_heads, -1, 1))
    return weights.view_as(scores).to(k.dtype), share


def _gathered(heads: Tensor, slots: Tensor) -> Tensor:
    """[R * Hkv, ..., D]: of heads [N, H, D], read as [N * H, D], the rows at slots [R, Hkv, ...]."""
    width = heads.shape[-1]
    rows = heads.reshape(-1, width).index_select(0, slots.reshape(-1))
    return rows.view(slots.shape[0] * slots.shape[1], -1, width)


def _in_order(rows: list[Tensor], plan: PathPlan, num_heads: int, width: int) -> Tensor:
    """[N, H, width] in the order of the tokens, from each bucket's output [R * Hkv, g * Q, width]."""
    flat = [bucket.reshape(-1, width) for bucket in rows]
    every = flat[0] if len(flat) == 1 else torch.cat(flat)
    return every.index_select(0, plan.output_slots(num_heads)).view(-1, num_heads, width)


def _scores(q: Tensor, k: Tensor, scale: float, softcap: float | None) -> Tensor:
    """[*, g * Q, L] fp32 scores cap(scale q k^T) of q [*, g * Q, D] and k [*, L, D], before the mask, in new memory."""
    scores = (q @ k.mT).float().mul_(scale)
    return scores if softcap is None else scores.div_(softcap).tanh_().mul_(softcap)


def _add_by_key(total: Tensor, rows: Tensor, bucket: Bucket) -> None:
    """total [M, Hkv, D] fp32 += rows [R * Hkv, L, D], each at its key. Rows of keys that all share are summed first."""
    index, shared = bucket.key_index, bucket.shared
    rows = rows.view(index.shape[0], total.shape[1], index.shape[1], total.shape[2])
    if shared:
        total.index_add_(0, index[0, :shared], rows[:, :, :shared].sum(0, dtype=total.dtype).transpose(0, 1))
    if shared < index.shape[1]:
        own = rows[:, :, shared:].transpose(1, 2).to(total.dtype)
        total.index_add_(0, index[:, shared:].reshape(-1), own.reshape(-1, *total.shape[1:]))
