"""From hidden states to log-probabilities, in chunks and in fp32.

A bf16 product would round a logit of 20 by 0.06. Where the machine can multiply bf16 numbers and add in fp32
(AVX512-BF16, AMX, CUDA) the logits are made that way: bf16's speed, fp32's result, since bf16 inputs lose nothing.
Backward recomputes each chunk's logits, so memory is one chunk of [chunk, vocabulary].
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

DEFAULT_CHUNK = 128


class Head:
    """The output embedding of a model, its soft cap if it has one, and an fp32 copy of its weight where useful."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        output = model.get_output_embeddings()
        if getattr(output, "bias", None) is not None:
            raise ValueError(f"{type(model).__name__} has a bias on its output embedding, which is not supported")
        for name in ("logits_scaling", "logit_scale"):
            if getattr(config, name, 1.0) not in (None, 1.0):
                raise ValueError(f"{type(model).__name__} scales its logits ({name}), which is not supported")
        self.weight: Tensor = output.weight  # [V, d]
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._wide: Tensor | None = None  # the weight in fp32, for the CPU's mixed product

    def refresh(self) -> None:
        """Forget the fp32 copy: the weight has changed."""
        self._wide = None

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, V] fp32 logits of hidden [M, d]; not differentiable."""
        if hidden.device.type == "cuda" and hidden.dtype != torch.float32:
            product = torch.mm(hidden, self.weight.detach().T, out_dtype=torch.float32)
        else:
            product = self.product(hidden.float(), self.wide().T)
        return product if self.softcap is None else self.softcap * torch.tanh(product / self.softcap)

    def logprobs(self, hidden: Tensor, targets: Tensor, temperature: float, chunk: int) -> Tensor:
        """Log-probabilities [M] fp32 of targets [M] given hidden [M, d], at a temperature > 0.

        Differentiable with respect to hidden and, where it is trained, the output weight.
        """
        return _ChunkedLogprobs.apply(hidden, self.weight, targets, self, temperature, chunk)

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """left @ right of fp32 tensors whose values came from the served precision, at that precision's speed."""
        if self.weight.dtype == torch.float32:
            return left @ right
        with _mixed_products():
            return left @ right

    def add_product(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """total += left @ right, likewise, without a third matrix of the total's size."""
        if self.weight.dtype == torch.float32:
            total.addmm_(left, right)
            return
        with _mixed_products():
            total.addmm_(left, right)

    def wide(self) -> Tensor:
        """[V, d] the weight in fp32, kept until `refresh`."""
        weight = self.weight.detach()
        if weight.dtype == torch.float32:
            return weight
        if self._wide is None:
            self._wide = weight.float()
        return self._wide


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, head: Head, temperature: float, chunk: int
    ) -> Tensor:
        logprobs, normalisers = [], []
        for rows, target in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            logits = head.logits(rows)
            if temperature != 1.0:
                logits /= temperature
            chosen = logits.gather(1, target[:, None])[:, 0]
            logprob = logits.log_softmax(-1).gather(1, target[:, None])[:, 0]
            logprobs.append(logprob)
            normalisers.append(chosen - logprob)
        ctx.save_for_backward(hidden, weight, targets, torch.cat(normalisers))
        ctx.head, ctx.temperature, ctx.chunk = head, temperature, chunk
        return torch.cat(logprobs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        hidden, weight, targets, normalisers = ctx.saved_tensors
        head: Head = ctx.head
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_hidden = torch.empty_like(hidden)
        for start in range(0, len(hidden), ctx.chunk):
            part = slice(start, start + ctx.chunk)
            change = head.logits(hidden[part])
            slope = None if head.softcap is None else _cap_slope(change, head.softcap)
            if ctx.temperature != 1.0:
                change /= ctx.temperature
            # d logprob / d logits = onehot - softmax
            change.sub_(normalisers[part, None]).exp_().mul_(-grad[part, None])
            change.scatter_add_(1, targets[part, None], grad[part, None])
            if ctx.temperature != 1.0:
                change /= ctx.temperature
            if slope is not None:
                change *= slope
            grad_hidden[part] = head.product(change, head.wide()).to(hidden.dtype)
            if grad_weight is not None:
                head.add_product(grad_weight, change.T, hidden[part].float())
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None, None


def _cap_slope(capped: Tensor, softcap: float) -> Tensor:
    """d capped / d product = 1 - (capped / softcap)^2."""
    return 1 - (capped / softcap).square()


@contextmanager
def _mixed_products() -> Iterator[None]:
    """fp32 products whose inputs are rounded to bf16 (they were bf16 to begin with) and whose sums are fp32."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set up at run time
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before
