"""The policy's weights by the names that transformers and peft give them in files, for another process to load."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from selfplay.model.policy import Policy
from selfplay.model.weights.adapter_folder import WEIGHTS
from selfplay.model.weights.places import ADAPTER_CONFIG
from selfplay.model.weights.reading import quiet

_BASE = ".base_layer"  # how peft names the layer that it has put an adapter on
_PEFT = "base_model.model."  # in front of names in a file of peft's


def base_weights(policy: Policy) -> dict[str, Tensor]:
    """What adapters are put on, or all weights where there are none. A tied one has each of its names."""
    plain = {f"{path}.weight": policy.unadapted(layer) for path, layer in _adapted(policy)}
    found = {}
    for name, weight in policy.model.state_dict().items():
        if ".lora_" not in name:
            name = name.replace(f"{_BASE}.", ".")
            found[name] = plain.get(name, weight)
    return found


def adapter_weights(policy: Policy) -> dict[str, Tensor]:
    """A [r, K] and B [N, r] of each adapted layer, in the served precision, as they are merged: W + B A, the scale is
    in A. Empty where there are no adapters."""
    found = {}
    for path, layer in _adapted(policy):
        [adapter] = layer.active_adapters
        a, b = layer.lora_A[adapter].weight.detach(), layer.lora_B[adapter].weight.detach()
        found[f"{path}.lora_A.weight"] = (a * layer.scaling[adapter]).to(policy.dtype)
        found[f"{path}.lora_B.weight"] = b.to(policy.dtype)
    return found


def adapted_layers(policy: Policy) -> list[str]:
    """Their last names."""
    return sorted({path.rpartition(".")[2] for path, _ in _adapted(policy)})


def adapter_rank(policy: Policy) -> int:
    """Of the largest adapter; 0 where there are none."""
    return max((layer.r[layer.active_adapters[0]] for _, layer in _adapted(policy)), default=0)


def weight_bytes(policy: Policy) -> int:
    """Of all weights in a file."""
    return sum(parameter.nbytes for parameter in policy.model.parameters())


def turned(policy: Policy) -> frozenset[str]:
    """Names of matrices [K, N] that a layer multiplies with as x W; all others are [N, K]."""
    modules = policy.model.named_modules(remove_duplicate=False)
    return frozenset(f"{path.removesuffix(_BASE)}.weight" for path, module in modules if isinstance(module, Conv1D))


def write_base(policy: Policy, folder: Path) -> None:
    """`base_weights` and the configuration, as transformers saves them."""
    with quiet():
        policy.model.save_pretrained(folder, state_dict=base_weights(policy))


def write_adapter(policy: Policy, folder: Path) -> None:
    """`adapter_weights`, as peft saves them."""
    folder.mkdir()
    tensors = {f"{_PEFT}{name}": each.cpu().contiguous() for name, each in adapter_weights(policy).items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    rank = adapter_rank(policy)
    facts = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": adapted_layers(policy)}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(facts), encoding="utf-8")


def _adapted(policy: Policy) -> Iterator[tuple[str, Any]]:
    """Layers that peft has put an adapter on, by their names."""
    for path, module in policy.model.named_modules():
        if isinstance(getattr(module, "lora_A", None), nn.ModuleDict):
            yield path, module
