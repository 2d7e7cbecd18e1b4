"""Root-mean-square norms in fewer operations, and with less kept for the backward pass.

transformers spells a norm out in eight operations on a CPU, of which autograd keeps three results in fp32. With two
norms in every layer an update takes a twentieth less time without that (docs/notebook/performance.md).
"""

import copy
import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_PROBE_ROWS = 3
_TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-2}  # of a norm's output, as a share; a bf16 has 8 bits


def fuse_norms(model: nn.Module) -> None:
    """Runs every norm of `model` that is a plain RMS norm by `rms_norm`.

    Which norms are plain is found by comparing outputs: one that gives other numbers (Gemma's adds 1 to its weight)
    stays as it is, and so does one that takes more than hidden states (a gate). On a CPU only; a GPU's time goes
    elsewhere.
    """
    for module in model.modules():
        eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        weight = getattr(module, "weight", None)
        if isinstance(eps, float) and isinstance(weight, nn.Parameter) and weight.dim() == 1 and _is_plain(module, eps):
            module.forward = partial(rms_norm, weight=weight, eps=eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[..., d] in x's dtype: x / sqrt(mean(x^2) + eps) in fp32, rounded, times weight [d] (arXiv 1910.07467)."""
    return _RmsNorm.apply(x, weight, eps)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = (x.float() * scale).to(x.dtype)
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        normed, scale, weight = ctx.saved_tensors
        grad_weight = (grad * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        slope, wide = (grad * weight).float(), normed.float()
        along = torch.linalg.vecdot(slope, wide).div_(wide.shape[-1])[..., None]
        grad_x = slope.addcmul(wide, along, value=-1.0).mul_(scale)
        return grad_x.to(normed.dtype), grad_weight, None


@torch.no_grad()
def _is_plain(module: nn.Module, eps: float) -> bool:
    """Whether `module` gives what `rms_norm` does: in fp32, where nothing is rounded away, and in its own dtype."""
    weight: Any = module.weight
    if weight.device.type != "cpu" or weight.dtype not in _TOLERANCE or [*module.parameters()] != [weight]:
        return False
    if len(inspect.signature(module.forward).parameters) != 1:
        return False
    return _agrees(module, weight, eps) and (
        weight.dtype == torch.float32 or _agrees(_in_fp32(module), weight.float(), eps)
    )


def _in_fp32(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).float()


def _agrees(module: nn.Module, weight: Tensor, eps: float) -> bool:
    """Whether the outputs agree on random rows, the last of which is so small that eps counts."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, _PROBE_ROWS, weight.shape[0], generator=random)
    x[0, -1] *= eps**0.5
    x = x.to(weight.dtype)
    try:
        theirs = module(x)
    except Exception:  # a norm of a kind that takes something else fails in its own way
        return False
    ours = rms_norm(x, weight, eps)
    return (
        isinstance(theirs, Tensor)
        and theirs.shape == ours.shape
        and theirs.dtype == ours.dtype
        and bool(torch.allclose(theirs, ours, rtol=_TOLERANCE[weight.dtype], atol=1e-6))
    )
