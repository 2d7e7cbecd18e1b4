"""LoRA adapters, merged into the weights they adapt (arXiv 2106.09685).

peft makes the adapters and saves them. Left to it, every layer would add B(Ax) to its product, in sampling too. Here a
layer's weight is W + s B A all the time, made anew after each update, so a pass costs what it costs without adapters;
and the gradients of A and B come from their own small products and not from the whole weight's, which is never made.
What samples and what is trained are the same numbers, as with full training.

A layer may have several adapters, by name. One of them is active, and is in the weight; to activate another costs a
product of [O, r] and [r, I] a layer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

DEFAULT = "default"  # as peft names the first adapter of a model


class MergedAdapters:
    """The adapted linear layers of a model that peft has wrapped. Kinds of layers that are not nn.Linear (GPT-2's) stay
    as peft has them. `active`: the name of the adapter that is merged."""

    def __init__(self, model: nn.Module) -> None:
        from peft.tuners.lora import Linear  # a second to import, and only adapters need it

        self.active = DEFAULT
        adapted: Sequence[Any] = [module for module in model.modules() if isinstance(module, Linear)]
        self._layers = [_MergedLayer(layer) for layer in adapted if type(layer.base_layer) is nn.Linear]

    def __len__(self) -> int:
        return len(self._layers)

    def holds(self, layer: Any) -> bool:
        """Whether the layer, one of peft's, is merged here."""
        return any(layer is each.layer for each in self._layers)

    def plain(self, layer: Any) -> Tensor | None:
        """W [O, I] of a layer, one of peft's; None where it is not merged here."""
        return next((each.plain for each in self._layers if layer is each.layer), None)

    def merge(self) -> None:
        """Call it when the adapters have changed: makes each layer's weight W + s B A anew."""
        for layer in self._layers:
            layer.merge(self.active)

    def activate(self, name: str) -> None:
        """Merge the adapters of this name in place of those that are."""
        self.active = name
        self.merge()


class _MergedLayer:
    """One layer: x [..., I] to [..., O], with A [r, I] and B [O, r] of each of its adapters."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._base: nn.Linear = layer.base_layer
        self.plain = self._base.weight.detach().clone()
        self.merge(DEFAULT)
        layer.forward = self.forward

    @torch.no_grad()
    def merge(self, name: str) -> None:
        served, scale = self.plain.dtype, self.layer.scaling[name]
        self._a: nn.Parameter = self.layer.lora_A[name].weight
        self._b: nn.Parameter = self.layer.lora_B[name].weight
        self._scaled_a, self._scaled_b = (self._a * scale).to(served), (self._b * scale).to(served)
        torch.addmm(self.plain, self._b.to(served), self._scaled_a, out=self._base.weight)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self._base(x)
        weight, bias = self._base.weight, self._base.bias
        return _Adapted.apply(x, weight, bias, self._a, self._b, self._scaled_a, self._scaled_b)


class _Adapted(torch.autograd.Function):
    """The product with the merged weight W + s B A: dB = s dW A^T = s dY^T (X A^T), dA = s B^T dW = s (dY B)^T X."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scaled_a: Tensor,
        scaled_b: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, scaled_a, scaled_b)
        ctx.dtype = a.dtype
        return functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, scaled_a, scaled_b = ctx.saved_tensors
        rows, slopes = x.flatten(0, -2), grad.flatten(0, -2)
        grad_a = (slopes @ scaled_b).T @ rows
        grad_b = slopes.T @ (rows @ scaled_a.T)
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, None, None, grad_a.to(ctx.dtype), grad_b.to(ctx.dtype), None, None


def adapter_of(parameter: str) -> str:
    """The adapter that a trained parameter is of, by its name (...lora_A.NAME.weight); DEFAULT where it is of none."""
    return parameter.split(".")[-2] if ".lora_" in parameter else DEFAULT
