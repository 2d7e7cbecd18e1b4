"""A model in fp32 for a while, so that what differs between two ways of running it is not its rounding.

In bf16 two correct passes of one model differ by a tenth where a router flips on rounding, and a faulty pass may differ
by less. In fp32 correct ones differ by 1e-5 or less. Freshly drawn weights are small: attention is then nearly uniform,
and a wrong score changes nothing. So matrices are scaled up meanwhile, to a gain of one: x -> W x keeps the size of x
when W [O, I] has entries of root mean square I^-1/2.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_LOW = (torch.bfloat16, torch.float16)


@contextmanager
def sharp_fp32(model: nn.Module, by_layer: bool) -> Iterator[None]:
    """Inside the block `model` is in fp32 and its matrices have a gain of one or more; then it is as it was, bit for
    bit.

    The whole model takes four bytes for each parameter. With `by_layer` only what is in no layer and the layer that
    runs at the moment are in fp32, so that no backward pass is possible.
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
        self._rows = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # looked up, not multiplied
        self._held: set[int] = set()  # what is wide now: layers may share parameters

    @contextmanager
    def wide(self, modules: list[nn.Module]) -> Iterator[None]:
        """Inside the block the parameters and buffers that `modules` hold directly are in fp32."""
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
    """Inside the block `layer` is in fp32 while it runs."""
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
