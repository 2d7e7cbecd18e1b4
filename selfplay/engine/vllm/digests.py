"""Digests of the policy's weights, to compare with those of what the worker's layers multiply with.

They are exact in every precision and of an update however small, where log-probabilities in bfloat16 hide one behind
rounding. Of a matrix some columns are compared, others for each version, since reading them is multiplying: that costs
what a prompt of so many tokens does. engines/vllm/tensors.py makes the same of vLLM's weights.

vLLM holds some matrices in another form than transformers (attention whose heads are interleaved). Such a matrix
differs in every layer as soon as it is loaded, and is left to the log-probabilities.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfplay.model.named_weights import adapter_weights, base_weights, turned
from selfplay.model.policy import Policy

_COLUMNS = 64  # of a matrix
_SMALLEST = 2.0**-126  # processors may take what is nearer to zero as zero
_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True, slots=True)
class Compared:
    """Names of the trainer's weights: those of another digest in the worker, and those of which it gave none."""

    differing: frozenset[str]
    unread: frozenset[str]


def weights_of(policy: Policy) -> dict[str, Tensor]:
    """By the names that transformers and peft save them with; matrices [N, K] as a layer multiplies with them, x W^T.
    Where there are adapters, those and what they are put on."""
    as_they_are = base_weights(policy) | adapter_weights(policy)
    others = turned(policy)
    buffers = {name for name, _ in policy.model.named_buffers()}
    return {name: w.T if name in others else w for name, w in as_they_are.items() if name not in buffers}


def chosen_columns(weights: Mapping[str, Tensor], version: int) -> dict[int, list[int]]:
    """Of matrices of each width, the columns that are compared for a version: ascending."""
    widths = sorted({weight.shape[1] for weight in weights.values() if weight.dim() == 2})
    chosen = {}
    for width in widths:
        random = np.random.default_rng((version, width))
        chosen[width] = sorted(random.choice(width, min(_COLUMNS, width), replace=False).tolist())
    return chosen


def digests(weights: Mapping[str, Tensor], columns: Mapping[int, Sequence[int]]) -> dict[str, str]:
    """sha256 of vectors, and of the columns of matrices; other weights (the experts of a mixture) are left out."""
    chosen = {width: torch.tensor(each) for width, each in columns.items()}
    found = {}
    for name, weight in weights.items():
        if weight.dim() == 1:
            found[name] = _digest(weight)
        elif weight.dim() == 2:
            found[name] = _digest(weight[:, chosen[weight.shape[1]].to(weight.device)].T)
    return found


def _digest(values: Tensor) -> str:
    """As float32, without the signs of zeros, which a product does not keep."""
    wide = values.float()
    wide = wide.masked_fill(wide.abs() < _SMALLEST, 0.0)
    return hashlib.sha256(wide.contiguous().cpu().numpy().tobytes()).hexdigest()


def compared(trainer: Mapping[str, str], sampler: Mapping[str, str]) -> Compared:
    """Digests by name. What only the sampler has is no weight of the trainer's."""
    return Compared(
        frozenset(name for name, digest in trainer.items() if sampler.get(name, digest) != digest),
        frozenset(trainer.keys() - sampler.keys()),
    )


def in_other_forms(names: Collection[str], differing: Collection[str]) -> frozenset[str]:
    """Those of `names` that differ in every layer, of which there are several."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for name in names:
        kinds[_LAYER.sub(".*.", name)].add(name)
    whole = [kind for kind in kinds.values() if len(kind) > 1 and kind <= set(differing)]
    return frozenset(name for kind in whole for name in kind)
