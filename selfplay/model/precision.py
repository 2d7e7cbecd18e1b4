"""A model in fp32 for a while, so that what differs between two ways of running it is not its rounding.

In bf16 honest passes of one model are a tenth apart where a router flips on rounding, and faulty ones are closer than
that. In fp32 honest ones are 1e-5 apart or less. Weights as they are drawn at first are small: every token looks at all
others alike, and a wrong score changes nothing. So matrices are scaled up to a gain of one meanwhile.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_LOW = (torch.bfloat16, torch.float16)


@contextmanager
def sharp_fp32(model: nn.Module, by_layer: bool) -> Iterator[None]:
    """`model` in fp32, its matrices no smaller than a gain of one, inside the block; then it is as it was, bit for bit.

    All of it at once takes four bytes for each parameter. `by_layer` holds only the layer that runs in fp32, and what
    is not in a layer: no backward pass is possible then.
    """
    widener = _Widener(model)
    with ExitStack() as stack:
        layers = _layers(model) if by_layer else []
        inside = {id(module) for layer in layers for module in layer.modules()}
        for layer in layers:
            stack.enter_context(_widened_in_passes(layer, widener))
        stack.enter_context(widener.wide([module for module in model.modules() if id(module) not in inside]))
        yield


class _Widener:
    """Puts fp32 tensors in the place of a model's own. The parameters stay the same objects."""

    def __init__(self, model: nn.Module) -> None:
        self._rows = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # no matrices: looked up
        self._held: set[int] = set()  # what is wide now: layers may share parameters

    @contextmanager
    def wide(self, modules: list[nn.Module]) -> Iterator[None]:
        """The direct parameters and buffers of `modules`."""
        parameters: list[tuple[nn.Parameter, Tensor]] = []
        buffers: list[tuple[nn.Module, str, Tensor]] = []
        try:
            for module in modules:
                for parameter in module._parameters.values():
                    if parameter is not None and parameter.is_floating_point() and id(parameter) not in self._held:
                        self._held.add(id(parameter))
                        parameters.append((parameter, parameter.data))
                        parameter.data = self._sharp(parameter)
                for name, buffer in module._buffers.items():
                    if buffer is not None and buffer.dtype in _LOW:
                        buffers.append((module, name, buffer))
                        module._buffers[name] = buffer.float()
            yield
        finally:
            for parameter, data in parameters:
                parameter.data = data
                self._held.discard(id(parameter))
            for module, name, buffer in buffers:
                module._buffers[name] = buffer

    def _sharp(self, parameter: nn.Parameter) -> Tensor:
        wide = parameter.data.float()
        if parameter.dim() < 2 or id(parameter) in self._rows:
            return wide
        spread = wide.norm().item() / max(wide.numel(), 1) ** 0.5
        gain = wide.shape[-1] ** -0.5 / spread if spread > 0 else 1.0
        return wide * gain if gain > 1.0 else wide


def _layers(model: nn.Module) -> list[nn.Module]:
    """The members of the outermost lists of modules: what a decoder repeats."""
    found: list[nn.Module] = []

    def look(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(child, nn.ModuleList):
                found.extend(child)
            else:
                look(child)

    look(model)
    return found


@contextmanager
def _widened_in_passes(layer: nn.Module, widener: _Widener) -> Iterator[None]:
    """`layer` is wide while it runs."""
    running = ExitStack()
    modules = list(layer.modules())

    def enter(*_: Any) -> None:
        running.enter_context(widener.wide(modules))

    def leave(*_: Any) -> None:
        running.close()

    hooks = [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        running.close()
