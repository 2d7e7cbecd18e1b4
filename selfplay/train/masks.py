"""A subnetwork: which numbers of which tensors are trained, in a file of packed bits. Free of torch.

The file is safetensors: of each tensor a uint8 tensor of ceil(numbers / 8) bytes, whose bits, the highest of a byte
first, are 1 for what is trained, in the order of the tensor's numbers; its metadata has the shapes. `python -m
selfplay.inspect audit --mask` writes one, `train.mask` trains it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from curriculum.error_lines import first_line
from selfplay.machine.errors import USAGE, Refused

FORMAT = "selfplay-mask-1"
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """`bits`: uint8 [ceil(numbers / 8)] of each tensor; `shapes` has the same names."""

    bits: Mapping[str, np.ndarray]
    shapes: Mapping[str, Shape]

    def of(self, name: str) -> np.ndarray:
        """Booleans of the tensor's shape: True for what is trained."""
        shape = self.shapes[name]
        return np.unpackbits(self.bits[name], count=math.prod(shape)).astype(bool).reshape(shape)

    def share(self) -> float:
        """Of all numbers, those that are trained."""
        whole = sum(math.prod(shape) for shape in self.shapes.values())
        return sum(int(np.bitwise_count(each).sum()) for each in self.bits.values()) / max(1, whole)

    def digest(self) -> str:
        """xxh3 of names, shapes and bits: two files with the same subnetwork have the same."""
        total = xxhash.xxh3_128()
        for name in sorted(self.bits):
            total.update(f"{name} {self.shapes[name]} ".encode())
            total.update(self.bits[name].tobytes())
        return total.hexdigest()


def packed(trained: np.ndarray) -> np.ndarray:
    """The bits of booleans of any shape."""
    return np.packbits(trained.reshape(-1))


def write_mask(path: Path, mask: Mask, facts: Mapping[str, str]) -> None:
    """`facts`: where it is from, for whoever finds the file. Raises OSError or SafetensorError."""
    about = {**facts, "format": FORMAT, "shapes": json.dumps({name: list(each) for name, each in mask.shapes.items()})}
    save_file(dict(mask.bits), path, about)


def read_mask(path: Path) -> Mask:
    """Raises Refused for what is no such file."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            bits = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        if about.get("format") != FORMAT:
            raise ValueError("its metadata has no such format")
        shapes = {name: _shape(each) for name, each in json.loads(about["shapes"]).items()}
        _check(bits, shapes)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"train.mask={path}: is no mask ({first_line(error)}); `python -m selfplay.inspect audit RUN --mask FILE` "
            "writes one",
            USAGE,
        ) from error
    return Mask(bits, shapes)


def require_fit(mask: Mask, shapes: Mapping[str, Shape], path: str) -> None:
    """Raises Refused unless the mask has every tensor that is trained in its shape, no other, and trains something."""
    for name in sorted(mask.shapes.keys() | shapes.keys()):
        if mask.shapes.get(name) != shapes.get(name):
            raise Refused(
                f"train.mask={path}: does not fit the model: {name} is {mask.shapes.get(name, 'not there')} in the "
                f"mask and {shapes.get(name, 'not trained')} in the run; audit a run of the same model, without "
                "adapters, for a mask",
                USAGE,
            )
    if not any(each.any() for each in mask.bits.values()):
        raise Refused(f"train.mask={path}: trains nothing: the run that it is from had changed nothing", USAGE)


def _check(bits: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]) -> None:
    if bits.keys() != shapes.keys():
        raise ValueError("its metadata names other tensors than it holds")
    for name, each in bits.items():
        if each.dtype != np.uint8 or each.shape != (-(-math.prod(shapes[name]) // 8),):
            raise ValueError(f"{name} has not the bits of its shape")


def _shape(value: object) -> Shape:
    if not isinstance(value, list) or not all(type(side) is int and side >= 0 for side in value):
        raise ValueError("its metadata has a shape that is none")
    return tuple(value)
