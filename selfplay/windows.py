"""Attention windows of a model made narrow for a while, so that short sequences show what they do to long ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

_NAMES = ("sliding_window", "attention_chunk_size")  # of a configuration, and of attention layers that copied it


@contextmanager
def narrow_windows(decoder: nn.Module, width: int) -> Iterator[bool]:
    """Every window wider than `width` becomes that wide, in the block. Gives whether there was one that may bind."""
    config: Any = decoder.config.get_text_config()  # type: ignore[operator, union-attr]  # transformers' own
    before: list[tuple[Any, str, int]] = [
        (holder, name, value)
        for holder in (config, *decoder.modules())
        for name in _NAMES
        if isinstance(value := getattr(holder, name, None), int) and value > width
    ]
    kinds = getattr(config, "layer_types", None)  # a configuration may name a window that no layer has
    binds = kinds is None or any(kind not in ("full_attention", "linear_attention") for kind in kinds)
    try:
        for holder, name, _ in before:
            setattr(holder, name, width)
        yield bool(before) and binds
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)
