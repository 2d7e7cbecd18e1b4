"""Borders of a model made narrow for a while, so that short sequences show what they do to long ones.

A sliding window hides keys that are far off. A length that rotary positions were fitted to is another kind of border:
some models rotate all positions of a row that is longer otherwise, also those before the border.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

# of a configuration, and of layers that copied it
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "index_topk")
_LENGTHS = (
    "max_position_embeddings",
    "original_max_position_embeddings",
    "max_seq_len_cached",
    "original_max_seq_len",
)


@contextmanager
def narrow_windows(decoder: nn.Module, width: int) -> Iterator[bool]:
    """Inside the block, every window wider than `width` is `width`. Yields whether there is one that some layer
    uses."""
    config: Any = decoder.config.get_text_config()  # type: ignore[operator, union-attr]  # transformers' own
    kinds = getattr(config, "layer_types", None)  # a configuration may name a window that no layer has
    binds = kinds is None or any(kind not in ("full_attention", "linear_attention") for kind in kinds)
    with _narrow([config, *decoder.modules()], _WINDOWS, width) as before:
        yield bool(before) and binds


@contextmanager
def narrow_lengths(decoder: nn.Module, width: int) -> Iterator[list[int]]:
    """Inside the block, every length that positions were fitted to is at most `width`. Yields the lengths as they were.

    What a model computes from them and keeps in buffers (its rotary frequencies) is put back as well.
    """
    config: Any = decoder.config.get_text_config()  # type: ignore[operator, union-attr]  # transformers' own
    rotary = getattr(config, "rope_parameters", None) or {}
    scalings = [rotary, *(value for value in rotary.values() if isinstance(value, dict))]
    kept = [
        (module, name, buffer, buffer.clone())
        for module in decoder.modules()
        if any(hasattr(module, length) for length in _LENGTHS)
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    with _narrow([config, *scalings, *decoder.modules()], _LENGTHS, width) as before:
        try:
            yield before
        finally:
            for module, name, buffer, value in kept:
                module._buffers[name] = buffer.copy_(value)


@contextmanager
def _narrow(holders: list[Any], names: tuple[str, ...], width: int) -> Iterator[list[int]]:
    """Inside the block, each attribute or key of `names` in a holder that is above `width` is `width`. Yields the old
    values."""
    before = [
        (holder, name, value)
        for holder in holders
        for name in names
        if isinstance(value := _read(holder, name), int) and value > width
    ]
    try:
        for holder, name, _ in before:
            _write(holder, name, width)
        yield [value for _, _, value in before]
    finally:
        for holder, name, value in before:
            _write(holder, name, value)


def _read(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def _write(holder: Any, name: str, value: int) -> None:
    if isinstance(holder, dict):
        holder[name] = value
    else:
        setattr(holder, name, value)
