"""From hidden states to log-probabilities, in chunks and in fp32.

A bf16 product would round a logit of 20 by 0.06. Where the machine can multiply bf16 numbers and add in fp32
(AVX512-BF16, AMX, CUDA) the logits are made that way, since bf16 inputs lose nothing.

For the backward pass a chunk's logits [chunk, V] are not kept, but the slopes of its log-probabilities by them
(`_slopes`), in the served precision, to which the backward products round them anyway. Where all slopes would take more
than KEPT_BYTES, the backward pass recomputes them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import getmembers
from typing import Any

import torch
from torch import Tensor

from selfplay.machine.errors import ModelError
from selfplay.model.prepacked import prepack, prepacked_product, prepacks

Drawable = Callable[[slice], Tensor]  # rows -> [rows, V] bool: which tokens each of them could have been

ROWS_OF_LOGITS = 256  # that a sampler or a scorer makes at once: bounds the [rows, vocabulary] block
KEPT_BYTES = 256 << 20  # of slopes; recomputing them is one product more in four, and on a CPU the slowest of them
ROWS_AT_ONCE = 2048  # of the weight's gradient: a block stays in the cache until it is added
ANOTHER = "choose another model.name"
_SCALE = re.compile("scal|multipl")  # in the names that configurations have for a scale on the logits


class Head:
    """The output embedding of a model, with its bias, scale and soft cap if it has them, and an fp32 copy of its weight
    where useful: cap(scale (h W^T + bias)).

    Raises ModelError for a model that makes its logits in another way.
    """

    def __init__(self, model: Any) -> None:
        output = model.get_output_embeddings()
        if output is None or not isinstance(getattr(output, "weight", None), Tensor):
            raise ModelError(f"{type(model).__name__} has no output embedding, which is not supported: {ANOTHER}")
        self.weight: Tensor = output.weight  # [V, d]
        self.bias: Tensor | None = getattr(output, "bias", None)  # [V]
        self.softcap: float | None = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        self.scale = 1.0
        self._wide: Tensor | None = None  # the weight in fp32, in blocks where that helps
        self._slopes: Tensor | None = None

    def find_scale(self, scales: Sequence[float], hidden: Tensor, logits: Tensor) -> None:
        """Takes the one of `scales` that best fits logits [M, V], the model's own of hidden [M, d], by this head's.

        Whether they then agree is checked at start (selfplay/model/probe.py), not here.
        """
        theirs, softcap = logits.float(), self.softcap
        if softcap is not None:
            theirs = softcap * torch.atanh((theirs / softcap).clamp(-0.9999, 0.9999))
        self.softcap = None
        ours = self.logits(hidden)
        self.softcap = softcap
        measured = ((ours * theirs).sum() / ours.square().sum()).item()
        self.scale = min(scales, key=lambda scale: abs(scale - measured))

    def refresh(self) -> None:
        """Call it when the weight has changed: forgets the fp32 copy."""
        self._wide = None

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, V] fp32 logits of hidden [M, d]; not differentiable."""
        if hidden.device.type == "cuda" and hidden.dtype != torch.float32:
            product = torch.mm(hidden, self.weight.detach().T, out_dtype=torch.float32)
        else:
            with _mixed_products(hidden.dtype):
                product = self._wide_product(hidden.float())
        if self.bias is not None:
            product = product + self.bias.detach().float()
        if self.scale != 1.0:
            product = product * self.scale
        return product if self.softcap is None else self.softcap * torch.tanh(product / self.softcap)

    def logprobs(
        self,
        hidden: Tensor,
        targets: Tensor,
        temperatures: Tensor | None,
        chunk: int,
        total: Tensor | None = None,
        drawable: Drawable | None = None,
    ) -> Tensor:
        """Log-probabilities [M] fp32 of targets [M] given hidden [M, d], at temperatures [M] > 0 (None: all 1).

        They are of the distribution over the tokens that are `drawable` (None: all), of which each target is one.

        Logits are made for `chunk` rows at a time. Differentiable with respect to hidden, the bias and, where it is
        trained, the output weight. With a `total` [V, d] fp32 the backward pass adds the weight's gradient there and
        gives autograd none.
        """
        weight = self.weight if total is None else self.weight.detach()
        return _ChunkedLogprobs.apply(
            hidden, weight, self.bias, targets, self, temperatures, chunk, total, drawable, torch.is_grad_enabled()
        )

    def room_for_slopes(self, count: int) -> Tensor:
        """[count, V] memory in the served precision, the same each time, since fresh pages cost more than filling them.

        A call overwrites what an earlier one has put there. Autograd raises if a graph still needs that.
        """
        if self._slopes is None or self._slopes.shape[0] < count:
            self._slopes = self.weight.new_empty(count, self.weight.shape[0])
        return self._slopes[:count]

    def release(self) -> None:
        """Frees the slopes' memory."""
        self._slopes = None

    def _wide_product(self, hidden: Tensor) -> Tensor:
        """[M, V] hidden [M, d] times the weight, both fp32. The weight's copy is kept until `refresh`."""
        weight = self.weight.detach()
        is_blocked = prepacks(weight)
        if self._wide is None:
            self._wide = prepack(weight.float()) if is_blocked else weight.float()
        return prepacked_product(hidden, self._wide) if is_blocked else hidden @ self._wide.T


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, head: Head,
        temperatures: Tensor | None, chunk: int, total: Tensor | None, drawable: Drawable | None, has_backward: bool,
    ) -> Tensor:  # fmt: skip
        keeps = has_backward and hidden.shape[0] * weight.nbytes // weight.shape[1] <= KEPT_BYTES
        slopes = head.room_for_slopes(hidden.shape[0]) if keeps else None
        logprobs = torch.empty(hidden.shape[0], dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            logits = head.logits(hidden[part])
            every = _drawn_from(logits, temperatures, drawable, part).log_softmax(-1)
            logprobs[part] = every.gather(1, targets[part, None])[:, 0]
            if slopes is not None:
                slopes[part] = _tempered(_slopes(logits, every, targets[part], head), temperatures, part)
        ctx.save_for_backward(hidden, weight, targets, slopes, temperatures)
        ctx.head, ctx.chunk, ctx.total, ctx.drawable = head, chunk, total, drawable
        return logprobs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        hidden, weight, targets, kept, temperatures = ctx.saved_tensors
        total = ctx.total
        if total is None and ctx.needs_input_grad[1]:
            total = torch.zeros_like(weight, dtype=torch.float32)
        grad_bias = torch.zeros_like(ctx.head.bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        grad = grad[:, None]
        grad_hidden = torch.empty_like(hidden)
        chunk = ctx.chunk if kept is None else hidden.shape[0]
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            slopes = kept
            if slopes is None:
                logits = ctx.head.logits(hidden[part])
                every = _drawn_from(logits, temperatures, ctx.drawable, part).log_softmax(-1)
                slopes = _slopes(logits, every, targets[part], ctx.head)
                slopes = _tempered(slopes, temperatures, part).to(weight.dtype)
            grad_hidden[part] = grad[part] * (slopes @ weight)
            if total is not None:
                _add_product(total, slopes, (grad[part] * hidden[part]).to(weight.dtype))
            if grad_bias is not None:
                grad_bias += (grad[part] * slopes).sum(0, dtype=torch.float32)
        grad_weight = total.to(weight.dtype) if ctx.needs_input_grad[1] else None
        return grad_hidden, grad_weight, None if grad_bias is None else grad_bias.to(weight.dtype), *[None] * 7


def _add_product(total: Tensor, slopes: Tensor, hidden: Tensor) -> None:
    """total [V, d] fp32 += slopes [m, V] transposed times hidden [m, d], a block of rows at a time."""
    for start in range(0, len(total), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        total[rows] += slopes[:, rows].T @ hidden


def _tempered(rows: Tensor, temperatures: Tensor | None, part: slice) -> Tensor:
    """[m, V] each of `rows` divided by its temperature; `part` says which of temperatures [M] these rows have."""
    return rows if temperatures is None else rows / temperatures[part, None]


def _drawn_from(logits: Tensor, temperatures: Tensor | None, drawable: Drawable | None, part: slice) -> Tensor:
    """[m, V] logits of the distributions that were drawn from: what could not be drawn is -inf."""
    tempered = _tempered(logits, temperatures, part)
    return tempered if drawable is None else tempered.masked_fill(~drawable(part), -torch.inf)


def _slopes(logits: Tensor, logprobs: Tensor, targets: Tensor, head: Head) -> Tensor:
    """[m, V] d logprob of the target / d product at temperature 1, given capped `logits` and all `logprobs`; the latter
    are overwritten.

    It is onehot - softmax (0 for a token that could not be drawn), times the scale and the cap's slope
    1 - (capped / softcap)^2. The target's own entry 1 - p is made from its logarithm: rounded p near 1 would leave
    nothing of it.
    """
    own = -torch.expm1(logprobs.gather(1, targets[:, None]))
    slopes = logprobs.exp_().neg_().scatter_(1, targets[:, None], own)
    if head.softcap is not None:
        slopes *= 1 - (logits / head.softcap).square()
    if head.scale != 1.0:
        slopes *= head.scale
    return slopes


def possible_scales(config: Any) -> list[float]:
    """What the logits may be multiplied by: 1, and each number of the configuration that is named as a scale, or its
    inverse. MiniCPM's is no entry, but a property made of two."""
    names = dict.fromkeys([*config.to_dict(), *(name for name, _ in getmembers(type(config), _is_property))])
    numbers = [getattr(config, name, None) for name in names if _SCALE.search(name)]
    named = [value for value in numbers if isinstance(value, int | float) and not isinstance(value, bool)]
    return [1.0, *(scale for value in named if value > 0 for scale in (float(value), 1.0 / value))]


def _is_property(member: object) -> bool:
    return isinstance(member, property)


@contextmanager
def _mixed_products(served: torch.dtype) -> Iterator[None]:
    """fp32 products of a bf16 model: inputs are rounded to bf16 (they were bf16 to begin with), sums are fp32."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set up at run time
    before = products.fp32_precision
    if served != torch.float32:
        products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before
