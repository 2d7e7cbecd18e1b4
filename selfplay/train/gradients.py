"""The fp32 sums of a step's gradients over its packs.

Autograd makes a parameter's gradient of one pack; it is added to the parameter's sum at once, and freed. The two
embeddings are kept from autograd, which would make a whole matrix [V, d] of each for every pack:

- The input embedding's gradient is zero but for the rows of the tokens that were read. `collecting` adds these rows.
- The output embedding's gradient is added in blocks of rows by the backward pass of selfplay/model/head.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

ADDED_AT_ONCE = 1 << 18  # numbers: a part and its fp32 copy stay in a core's cache


class Gradients:
    """Sums by parameter name. `begin` a step, run each pack inside `collecting`, then read `finished`."""

    def __init__(self, trained: Sequence[tuple[str, nn.Parameter]], embedding: nn.Module) -> None:
        """`embedding` is the model's input embedding; its rows are added directly where it is trained and plain."""
        self._trained = trained
        self._names = {id(p): name for name, p in trained}
        self._sums: dict[str, Tensor] = {}  # made when first added to, then kept: fresh pages cost more than zeros
        self._summed: set[str] = set()  # names whose sum holds something of this step
        self._embedding = embedding if _is_plain(embedding) and id(embedding.weight) in self._names else None

    def begin(self) -> None:
        """Begins a step: what the sums hold of the last one does not count."""
        self._summed.clear()

    def sum_of(self, parameter: Tensor) -> Tensor | None:
        """The fp32 sum of one trained parameter, to add to; None of one that is not trained."""
        name = self._names.get(id(parameter))
        if name is None:
            return None
        total = self._room(name, parameter)
        if name not in self._summed:
            total.zero_()
            self._summed.add(name)
        return total

    def finished(self) -> dict[str, Tensor]:
        """All sums of the step, in the order of the parameters; zero where nothing was added."""
        sums = {name: self._room(name, parameter) for name, parameter in self._trained}
        for name in sums.keys() - self._summed:
            sums[name].zero_()
        return sums

    def release(self) -> None:
        """Let go of the sums' memory, and of what they hold."""
        self._sums.clear()
        self._summed.clear()

    def _room(self, name: str, parameter: Tensor) -> Tensor:
        """The memory of one sum, whatever it holds."""
        if name not in self._sums:
            self._sums[name] = torch.empty_like(
                parameter, dtype=torch.float32, memory_format=torch.contiguous_format, requires_grad=False
            )
        return self._sums[name]

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Run one pack's forward and backward pass inside: its gradients are added to the sums."""
        hooks = [p.register_post_accumulate_grad_hook(partial(self._collect, name)) for name, p in self._trained]
        read: list[tuple[Tensor, Tensor]] = []  # ids and the rows that the embedding gave for them

        def cut_off(_: nn.Module, inputs: tuple[Any, ...], rows: Tensor) -> Tensor:
            leaf = rows.detach().requires_grad_()
            read.append((inputs[0], leaf))
            return leaf

        if self._embedding is not None:
            hooks.append(self._embedding.register_forward_hook(cut_off))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for ids, leaf in read:
            if leaf.grad is not None:
                self._add_rows(ids, leaf.grad)

    def _add_rows(self, ids: Tensor, gradient: Tensor) -> None:
        """The embedding's: ids [...], gradient [..., d]."""
        assert self._embedding is not None
        total = self.sum_of(self._embedding.weight)
        assert total is not None
        rows, padding = gradient.float(), self._embedding.padding_idx
        if padding is not None:  # of this row autograd makes no gradient either
            rows = rows.masked_fill(ids.eq(padding)[..., None], 0.0)
        total.index_add_(0, ids.reshape(-1), rows.reshape(-1, rows.shape[-1]))

    def _collect(self, name: str, parameter: Tensor) -> None:
        """Adds the gradient that autograd made of one parameter, and frees it. The first of a step is copied."""
        if parameter.grad is None:
            return
        if name in self._summed:
            _add(self._sums[name], parameter.grad)
        else:
            self._room(name, parameter).copy_(parameter.grad)
            self._summed.add(name)
        parameter.grad = None


def _is_plain(embedding: nn.Module) -> TypeGuard[nn.Embedding]:
    """Whether its output is rows of its weight, unscaled, so that the weight's gradient is a plain sum over rows."""
    return type(embedding) is nn.Embedding and embedding.max_norm is None and not embedding.scale_grad_by_freq


def _add(total: Tensor, gradient: Tensor) -> None:
    """total += gradient. On a CPU in parts, since torch first copies a gradient of lower precision to fp32, all of it
    into fresh memory. A GPU converts while it adds, and parts would only cost launches."""
    if total.device.type != "cpu":
        total.add_(gradient)
        return
    parts = zip(total.view(-1).split(ADDED_AT_ONCE), gradient.reshape(-1).split(ADDED_AT_ONCE), strict=True)
    for part, addend in parts:
        part.add_(addend)
