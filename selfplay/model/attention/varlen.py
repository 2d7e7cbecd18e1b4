"""Attention over root paths without padding: keys and values of each chain's path are gathered, then one call.

The call is torch's own (torch.nn.attention.varlen.varlen_attn, FlashAttention for CUDA), which makes neither scores nor
weights in memory. It has no soft cap and no sinks, wants fp16 or bf16, and a value as wide as a key.

Gathered copies have as many rows as the paths have keys together. They are freed after each layer and gathered again
in the backward pass, which runs the call once more: so a pass holds the copies of one layer, not of all. The gradients
of a key are summed in fp32 over the paths that read it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from selfplay.model.attention.plan import RootPaths

WIDTHS_BY, WIDEST = 8, 256  # of a head, in FlashAttention
_OLDEST = (8, 0)  # compute capability: Ampere


class VarlenCall(Protocol):
    """What `varlen_attn` is asked: see RootPaths. window_size (left, 0): a query sees so many keys before its own."""

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
        *, scale: float, window_size: tuple[int, int], enable_gqa: bool,
    ) -> Any: ...  # fmt: skip


def torch_varlen(device: torch.device, dtype: torch.dtype) -> tuple[VarlenCall | None, str]:
    """torch's call, or None and why it is not there."""
    if device.type != "cuda":
        return None, "torch has it for CUDA alone"
    if dtype not in (torch.bfloat16, torch.float16):
        return None, f"it does not take {str(dtype).removeprefix('torch.')}"
    if torch.cuda.get_device_capability(device) < _OLDEST:
        return None, "this GPU is older than Ampere"
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None, f"torch {torch.__version__} has none"
    return varlen_attn, ""


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, paths: RootPaths, window: int | None, scale: float, call: VarlenCall
) -> Tensor:
    """[N, H, D] attention of query [N, H, D] over key and value [M, Hkv, D]: what `tree_attention` (kernel.py) gives
    without soft cap and sinks, up to rounding."""
    return _VarlenAttention.apply(query, key, value, paths, window, scale, call)


class _VarlenAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor,
        paths: RootPaths, window: int | None, scale: float, call: VarlenCall,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(query, key, value)
        ctx.paths, ctx.window, ctx.scale, ctx.call = paths, window, scale, call
        return _called((query, *_gathered(key, value, paths)), paths, window, scale, call)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        query, key, value = ctx.saved_tensors
        paths = ctx.paths
        with torch.enable_grad():
            inputs = tuple(x.detach().requires_grad_() for x in (query, *_gathered(key, value, paths)))
            out = _called(inputs, paths, ctx.window, ctx.scale, ctx.call)
        with _strictly_deterministic():
            grad_query, *by_path = torch.autograd.grad(out, inputs, grad.contiguous())
        sums = []
        for slopes, heads in zip(by_path, (key, value), strict=True):
            total = torch.zeros_like(heads, dtype=torch.float32)
            sums.append(total.index_add_(0, paths.key_index, slopes.float()).to(heads.dtype))
        return grad_query, *sums, *[None] * 4


def _gathered(key: Tensor, value: Tensor, paths: RootPaths) -> tuple[Tensor, Tensor]:
    """[S, Hkv, D] each: the keys and values of all paths, path after path."""
    return key.index_select(0, paths.key_index), value.index_select(0, paths.key_index)


def _called(inputs: tuple[Tensor, ...], paths: RootPaths, window: int | None, scale: float, call: VarlenCall) -> Tensor:
    query, key, value = inputs
    out: Tensor = call(
        query, key, value, paths.cu_seq_q, paths.cu_seq_k, paths.max_q, paths.max_k, scale=scale,
        window_size=(-1 if window is None else window - 1, 0), enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return out


@contextmanager
def _strictly_deterministic() -> Iterator[None]:
    """Where a run asked for the same bits each time. Asked to warn only, torch takes FlashAttention's other backward,
    which adds in any order."""
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        yield
        return
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)
