"""Attention of one long chain of queries over its path, in memory that grows with the path and not with its square.

A chain of Q queries at the end of a path of L keys: query t sees the first L - Q + 1 + t of them. On a CPU it is two
calls of torch's own flash kernel, which needs no mask for either: the chain over itself is causal, and over the
P = L - Q keys before it whole. With log-sums l1, l2 of their scores' exponentials and outputs o1, o2 both together are

    l = log(exp(l1) + exp(l2)),    o = o1 exp(l1 - l) + o2 exp(l2 - l),

and each call's backward pass, given l and o of the whole, gives its part of the gradients, since all that it reads of a
softmax is exp(score - l) and the product of o with its gradient. What that kernel does not do (windows, soft caps,
sinks, values of another width, other devices) is done block by block of queries, whose weights are made again in the
backward pass.

Shapes: H query heads, Hkv key heads, g = H / Hkv, D numbers of a query or key, E of a value.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # queries whose weights exist at once
_FLASH_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_aten: Any = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Kind:
    """What a layer's attention is: as in `tree_attention`."""

    window: int | None
    scale: float
    softcap: float | None
    sinks: Tensor | None  # [H]


def attend_long(query: Tensor, key: Tensor, value: Tensor, kind: Kind) -> tuple[Tensor, Tensor | None]:
    """[H, Q, E] attention of query [H, Q, D] over key [Hkv, L, D] and value [Hkv, L, E]; and what `long_slopes` wants
    to know of it, [H, Q] fp32 or nothing."""
    if _flashes(query, key, value, kind):
        return _flash(query, key, value, kind.scale)
    out = query.new_empty(*query.shape[:2], value.shape[2])
    for part in _blocks(query, key, kind):
        weights, _ = part.weights(query, key, kind)
        out[:, part.queries] = (weights @ value[:, part.keys]).view(len(out), -1, value.shape[2])
    return out, None


def long_slopes(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, log_sums: Tensor | None, kind: Kind
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients by query [H, Q, D], key [Hkv, L, D], value [Hkv, L, E] (both fp32) and the sinks [H] (fp32), given the
    output's, `grad` [H, Q, E], and what `attend_long` gave."""
    if log_sums is not None:
        return *_flash_slopes(grad, query, key, value, out, log_sums, kind.scale), None
    num_kv_heads = len(key)
    grad_query = torch.empty_like(query)
    grad_key, grad_value = (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
    grad_sinks = None if kind.sinks is None else torch.zeros(len(query), dtype=torch.float32, device=query.device)
    for part in _blocks(query, key, kind):
        weights, share = part.weights(query, key, kind)
        rows = grad[:, part.queries].reshape(num_kv_heads, -1, grad.shape[2])
        grad_value[:, part.keys] += weights.mT @ rows
        slopes = rows @ value[:, part.keys].mT
        if grad_sinks is not None and share is not None:  # d weight / d sink = -weight times the sink's own
            along = (weights.float() * slopes).sum(-1).view_as(share)
            grad_sinks -= (share * along).sum((2, 3)).view(-1)
        slopes = _aten._softmax_backward_data(slopes, weights, -1, slopes.dtype)
        if kind.softcap is not None:
            capped = part.scores(query, key, kind) / kind.softcap
            slopes = slopes * (1 - capped.square()).to(slopes.dtype)
        grad_query[:, part.queries] = (slopes @ key[:, part.keys]).view(len(query), -1, query.shape[2])
        queries = query[:, part.queries].reshape(num_kv_heads, -1, query.shape[2])
        grad_key[:, part.keys] += slopes.mT @ queries
    return grad_query.mul_(kind.scale), grad_key.mul_(kind.scale), grad_value, grad_sinks


def _flashes(query: Tensor, key: Tensor, value: Tensor, kind: Kind) -> bool:
    return (
        query.device.type == "cpu" and query.dtype in _FLASH_DTYPES and query.shape[2] == value.shape[2]
        and (kind.window is None or kind.window >= key.shape[1]) and kind.softcap is None and kind.sinks is None
        and hasattr(_aten, "_scaled_dot_product_flash_attention_for_cpu")
    )  # fmt: skip


def _flash(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    call = _aten._scaled_dot_product_flash_attention_for_cpu
    own, before, q = _parted(query, key, value)
    out, log_sums = call(q, *own, 0.0, True, scale=scale)
    if before is not None:
        other, others = call(q, *before, 0.0, False, scale=scale)
        whole = torch.logaddexp(log_sums, others)
        shares = (each.sub(whole).exp_()[..., None] for each in (log_sums, others))
        out = sum(each.float() * share for each, share in zip((out, other), shares, strict=True)).to(query.dtype)
        log_sums = whole
    return out[0], log_sums[0]


def _flash_slopes(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, log_sums: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    call = _aten._scaled_dot_product_flash_attention_for_cpu_backward
    own, before, q = _parted(query, key, value)
    num_kv_heads, num_before = len(key), key.shape[1] - query.shape[1]
    given = (out[None], log_sums[None], 0.0)
    grad_query, *slopes = call(grad[None].contiguous(), q, *own, *given, True, scale=scale)
    totals = [torch.empty_like(x, dtype=torch.float32) for x in (key, value)]
    for total, rows in zip(totals, slopes, strict=True):
        total[:, num_before:] = rows[0].unflatten(0, (num_kv_heads, -1)).sum(1, dtype=torch.float32)
    if before is not None:
        more, *slopes = call(grad[None].contiguous(), q, *before, *given, False, scale=scale)
        grad_query = grad_query + more
        for total, rows in zip(totals, slopes, strict=True):
            total[:, :num_before] = rows[0].unflatten(0, (num_kv_heads, -1)).sum(1, dtype=torch.float32)
    return grad_query[0], totals[0], totals[1]


def _parted(
    query: Tensor, key: Tensor, value: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None, Tensor]:
    """Keys and values [1, H, *] of the chain itself, those before it if there are any, and the query, with a head each
    for every query head."""
    border = key.shape[1] - query.shape[1]
    keys, values = (x.repeat_interleave(len(query) // len(x), 0)[None] for x in (key, value))
    own = keys[:, :, border:], values[:, :, border:]
    return own, (keys[:, :, :border], values[:, :, :border]) if border else None, query[None]


@dataclass(frozen=True, slots=True)
class _Block:
    """Some queries of a chain, and the keys that they may see."""

    queries: slice
    keys: slice
    before: int  # keys in front of the chain

    def scores(self, query: Tensor, key: Tensor, kind: Kind) -> Tensor:
        """[Hkv, g * b, l] fp32, before the mask."""
        q = query[:, self.queries].reshape(len(key), -1, query.shape[2])
        scores = (q @ key[:, self.keys].mT).float().mul_(kind.scale)
        return scores if kind.softcap is None else scores.div_(kind.softcap).tanh_().mul_(kind.softcap)

    def weights(self, query: Tensor, key: Tensor, kind: Kind) -> tuple[Tensor, Tensor | None]:
        """[Hkv, g * b, l] in the keys' dtype, and the sinks' own [Hkv, g, b, 1]."""
        scores = self.scores(query, key, kind)
        every = scores.view(len(key), len(query) // len(key), -1, scores.shape[2])
        own = self.before + torch.arange(self.queries.start, self.queries.stop, device=key.device)[:, None]
        keys = torch.arange(self.keys.start, self.keys.stop, device=key.device)
        hidden = keys > own
        if kind.window is not None:
            hidden |= keys <= own - kind.window
        every.masked_fill_(hidden, float("-inf"))
        if kind.sinks is None:
            return scores.softmax(-1).to(key.dtype), None
        weights, share = softmax_beside(every, kind.sinks.view(len(key), -1, 1))
        return weights.view_as(scores).to(key.dtype), share


def _blocks(query: Tensor, key: Tensor, kind: Kind) -> list[_Block]:
    count, before = query.shape[1], key.shape[1] - query.shape[1]
    blocks = []
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        first = 0 if kind.window is None else max(0, before + start + 1 - kind.window)
        blocks.append(_Block(slice(start, stop), slice(first, before + stop), before))
    return blocks


def softmax_beside(scores: Tensor, sinks: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [..., L] of fp32 scores [..., L] beside one score more in each row, sinks [...], which broadcasts; and
    the sinks' own weights [..., 1]. Together they are 1.

    With the log of the sum of exp(scores), lse, the scores have the share 1 / (1 + exp(sink - lse)) of the row.
    """
    apart = scores.logsumexp(-1, keepdim=True) - sinks.float().unsqueeze(-1)
    return scores.softmax(-1).mul_(apart.sigmoid()), (-apart).sigmoid()
