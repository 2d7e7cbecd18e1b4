"""Weights in the layout that a CPU's bf16 products want, made once per policy version instead of once per product.

oneDNN multiplies by blocks of the weight. Given a plain weight it lays these out anew in every product, which for the
few rows of a decoding step takes longer than multiplying. Products with blocks give the same bits, but for the last bit
of one number in ten thousand in passes of 300 rows and more (with torch 2.11 in smaller ones too). A resumed run still
has the bits it would have had, since each step counts its passes anew. Blocks are a second copy of the weights, so a
policy holds them while it samples and frees them before it is trained. Laying out all weights takes as long as a dozen
passes save, so a version that decodes little does without (PATIENCE).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Passes of a version before its weights are laid out. That is paid back by about a dozen passes, whatever the model and
# the job, since a pass reads every weight once as laying out does; the second copy is made only where a version goes on
# for several times as long. Another number gives other bits of a bf16 run on a CPU (see above).
PATIENCE = 64
ROWS = 32  # what oneDNN is told to expect of a product when it chooses blocks; they multiply any number of rows
_ops: Any = torch.ops.mkldnn


def prepacks(weight: Tensor) -> bool:
    """Whether blocks of this weight help: bf16 on a CPU whose oneDNN multiplies it."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and hasattr(_ops, "_reorder_linear_weight")
        and _ops._is_mkldnn_bf16_supported()
    )


def prepack(weight: Tensor) -> Tensor:
    """Blocks of weight [O, I], bf16 or fp32, for `prepacked_product`. They are opaque: nothing else can read them."""
    return _ops._reorder_linear_weight(weight.detach(), ROWS)


def prepacked_product(x: Tensor, blocks: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I] times the transposed weight that `blocks` were made of, and bias [O]: [..., O]."""
    return _ops._linear_pointwise(x, blocks, bias, "none", [], "")


class PrepackedLinears:
    """The linear layers of a module, run on blocks inside `applied`; elsewhere they are as they were."""

    def __init__(self, module: nn.Module) -> None:
        self._linears = [m for m in module.modules() if type(m) is nn.Linear and prepacks(m.weight)]
        self._forwards: list[Callable[[Tensor], Tensor]] = []
        self._passes = 0

    def forget(self) -> None:
        """Let go of the blocks: the weights change, or memory is needed."""
        self._forwards, self._passes = [], 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """One pass. No gradient flows through what runs in here."""
        self._passes += 1
        if self._passes > PATIENCE and not self._forwards:
            self._forwards = [_forward(linear) for linear in self._linears]
        replaced = list(zip(self._linears, self._forwards, strict=False))  # none before that
        for linear, forward in replaced:
            linear.forward = forward  # type: ignore[assignment]
        try:
            yield
        finally:
            for linear, _ in replaced:
                del linear.forward


def _forward(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    blocks, bias = prepack(linear.weight), linear.bias
    return lambda x: prepacked_product(x, blocks, bias)
