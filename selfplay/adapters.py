"""LoRA adapters, merged into the weights they adapt (arXiv 2106.09685).

peft makes the adapters and saves them. Left to it, every layer would add B(Ax) to its product, in sampling too. Here a
layer's weight is W + s B A all the time, made anew after each update, so a pass costs what it costs without adapters;
and the gradients of A and B come from their own small products and not from the whole weight's, which is never made.
What samples and what is trained are the same numbers, as with full training.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class MergedAdapters:
    """The adapted linear layers of a model that peft has wrapped. Kinds of layers that are not nn.Linear (GPT-2's) stay
    as peft has them."""

    def __init__(self, model: nn.Module) -> None:
        from peft.tuners.lora import Linear  # a second to import, and only adapters need it

        adapted: Sequence[Any] = [module for module in model.modules() if isinstance(module, Linear)]
        self._layers = [layer for layer in adapted if type(layer.base_layer) is nn.Linear]
        self._plain = [layer.base_layer.weight.detach().clone() for layer in self._layers]
        for layer in self._layers:
            layer.forward = partial(_forward, layer)
        self.merge()

    def __len__(self) -> int:
        return len(self._layers)

    @torch.no_grad()
    def merge(self) -> None:
        """The adapters have changed: make the weights anew."""
        for layer, plain in zip(self._layers, self._plain, strict=True):
            a, b, scale = _parts(layer)
            layer.base_layer.weight.copy_(torch.addmm(plain.float(), b.float(), a.float(), alpha=scale))


def _parts(layer: Any) -> tuple[Tensor, Tensor, float]:
    """A [r, I], B [O, r] and the scale of the only adapter."""
    [name] = layer.active_adapters
    return layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]


def _forward(layer: Any, x: Tensor) -> Tensor:
    """[..., I] to [..., O]."""
    if not torch.is_grad_enabled():
        return layer.base_layer(x)
    return _Adapted.apply(x, layer.base_layer.weight, layer.base_layer.bias, *_parts(layer))


class _Adapted(torch.autograd.Function):
    """The product with the merged weight W + s B A: dB = s dW A^T = s dY^T (X A^T), dA = s B^T dW = s (dY B)^T X."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:  # type: ignore[override]
        x, weight, a, b = ctx.saved_tensors
        rows, slopes = x.flatten(0, -2), grad.flatten(0, -2)
        grad_a = (slopes @ b.to(grad.dtype)).T @ rows
        grad_b = slopes.T @ (rows @ a.to(x.dtype).T)
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, None, None, grad_a.to(a.dtype) * ctx.scale, grad_b.to(b.dtype) * ctx.scale, None
