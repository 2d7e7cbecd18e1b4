"""Tensors in safetensors files, read in blocks of rows: a model of any size in little memory, and without torch.

safetensors checks a file (where tensors lie, and how large they are); the numbers are then read from its bytes, since
numpy has no bfloat16. Source of the format: the safetensors documentation, "Format".
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import safe_open

Floats = np.ndarray  # float32
AT_ONCE = 1 << 20  # numbers of a block


class Tensors(Protocol):
    """Named tensors of numbers."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def rows(self, name: str, start: int, stop: int) -> Floats:
        """float32 [stop - start, ...] of the tensor's first dimension."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    kind: str
    shape: tuple[int, ...]
    offset: int  # of its first byte in the file


class TensorFiles:
    """All tensors of some safetensors files, by `rename` of the names that they have there."""

    def __init__(self, paths: Iterable[Path], rename: Callable[[str], str] = lambda name: name) -> None:
        """Raises SafetensorError, OSError or ValueError for what is no such file."""
        self._places = {rename(name): place for path in paths for name, place in _places(path)}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every tensor that is made of floating-point numbers."""
        return {name: place.shape for name, place in self._places.items() if place.kind in _READERS}

    def rows(self, name: str, start: int, stop: int) -> Floats:
        """float32 [stop - start, ...]: rows of the first dimension; a tensor without dimensions has one row."""
        place = self._places[name]
        stored, decoded = _READERS[place.kind]
        width = math.prod(place.shape[1:])
        with place.path.open("rb") as file:
            file.seek(place.offset + start * width * stored.itemsize)
            numbers = np.fromfile(file, stored, (stop - start) * width)
        if len(numbers) != (stop - start) * width:
            raise ValueError(f"{place.path} was cut while it was read")
        return decoded(numbers).reshape(stop - start, *place.shape[1:])


def blocks(shape: tuple[int, ...], at_once: int = AT_ONCE) -> Iterator[tuple[int, int]]:
    """Ranges of rows of about `at_once` numbers, one row at least, that a tensor of this shape is read in."""
    rows = shape[0] if shape else 1
    step = max(1, at_once // max(1, math.prod(shape[1:])))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _places(path: Path) -> Iterator[tuple[str, _Place]]:
    with safe_open(path, framework="numpy"):  # raises for a header that promises what the file does not hold
        pass
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, facts in header.items():
        yield name, _Place(path, facts["dtype"], tuple(facts["shape"]), 8 + length + facts["data_offsets"][0])


def _as_they_are(numbers: np.ndarray) -> Floats:
    return numbers.astype(np.float32, copy=False)


def _from_bfloat16(bits: np.ndarray) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32)


_READERS: dict[str, tuple[np.dtype, Callable[[np.ndarray], Floats]]] = {
    "F64": (np.dtype("<f8"), _as_they_are),
    "F32": (np.dtype("<f4"), _as_they_are),
    "F16": (np.dtype("<f2"), _as_they_are),
    "BF16": (np.dtype("<u2"), _from_bfloat16),
}
