"""Which layers get adapters. The decoder's linear layers do, and nothing else: the head and the embeddings are read
without their modules' forward (selfplay/model/head.py, selfplay/train/gradients.py), so an adapter there would do
nothing."""

import copy
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from selfplay.machine.errors import USAGE, Refused

ALL = "all-linear"


def make_adapters(
    model: Any, r: int, alpha: int, asked: Sequence[str], seed: int, base: str, say: Callable[[str], None],
    others: Sequence[str] = (),
) -> Any:  # fmt: skip
    """peft's model around `model`, with new adapters of rank `r` on the layers `asked`, in place. Raises Refused.

    `base` is what the adapters' own folder will name as the model to load them on. `others`: names of further adapters
    on the same layers, each trained as well as the default one.
    """
    from peft import LoraConfig, get_peft_model  # a second to import, and only adapters need it

    linear = _linear_layers(model)
    chosen = _chosen(asked, linear)
    _say_others(model, chosen, say)
    if others and (odd := sorted({_last(name) for name in chosen if type(linear[name]) is not nn.Linear})):
        raise Refused(
            f"policy.lora.per_role=true: {', '.join(odd)} of this model are no nn.Linear, and only those can change "
            "between adapters; choose another model, or one adapter for both roles",
            USAGE,
        )
    settings = LoraConfig(r=r, lora_alpha=alpha, target_modules=_as_short_as_may_be(model, chosen))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going away
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to")  # of GPT-2's layers: peft then sets what is right
        torch.manual_seed(seed)  # the adapters' first weights
        adapter = get_peft_model(model, settings)
        for name in others:
            adapter.add_adapter(name, copy.deepcopy(settings))
    for name, parameter in adapter.named_parameters():
        if ".lora_" in name:
            parameter.requires_grad_(True)  # peft would train the active adapter alone
    path = Path(base).expanduser()
    for each in adapter.peft_config.values():  # peft puts what it knows there
        each.base_model_name_or_path = str(path.resolve()) if path.exists() else base
    return adapter


def _linear_layers(model: Any) -> dict[str, nn.Module]:
    """The decoder's, by their names in `model`; of a model of several media, those that a text passes through."""
    decoder, head = model.base_model, model.get_output_embeddings()
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    return {
        f"{prefix}.{name}".lstrip("."): module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head and module.weight.requires_grad
    }


def _chosen(asked: Sequence[str], linear: Mapping[str, nn.Module]) -> list[str]:
    """Full names of the layers that `asked` means. Raises Refused for one that means none."""
    found: list[str] = []
    for layer in asked:
        meant = [name for name in linear if layer == ALL or f".{name}".endswith(f".{layer}")] if layer else []
        if not meant:
            known = sorted({_last(name) for name in linear})
            raise Refused(
                f"policy.lora.target_modules=[{','.join(asked)}]: {layer or 'an empty name'} is no linear layer of "
                f"this model's decoder; those are {', '.join(known) or 'none'}",
                USAGE,
            )
        found += meant
    return sorted(set(found))


def _as_short_as_may_be(model: nn.Module, chosen: Sequence[str]) -> list[str]:
    """Last names, where they mean the same layers."""
    last = sorted({_last(name) for name in chosen})
    meant = {name for name, _ in model.named_modules() if _last(name) in last}
    return last if meant == set(chosen) else list(chosen)


def _say_others(model: Any, chosen: Collection[str], say: Callable[[str], None]) -> None:
    """One line where matrices of the decoder stay without adapters: a mixture's experts are often no linear layers."""
    plain = {name for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    plain |= {name for name, module in model.named_modules() if module is model.get_output_embeddings()}
    others = {
        ".".join(part for part in name.removesuffix(".weight").split(".")[-2:] if not part.isdecimal())
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1 and parameter.requires_grad and name.rpartition(".")[0] not in {*plain, *chosen}
    }
    if others:
        say(f"adapters on {', '.join(sorted({_last(name) for name in chosen}))}; none on {', '.join(sorted(others))}")


def _last(name: str) -> str:
    return name.rpartition(".")[2]
