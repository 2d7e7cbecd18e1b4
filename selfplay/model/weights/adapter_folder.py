"""A folder of LoRA adapters as peft saves it, which a run that trained adapters leaves. Merged into its base, a model.

Its adapter_config.json is somebody else's: peft would import a module that it names, and match layers by its regular
expressions. So only plain facts of plain LoRA are taken from it, and whatever else it sets is refused by name.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from selfplay.machine.errors import ModelError
from selfplay.model.adapters import MergedAdapters
from selfplay.model.weights.places import ADAPTER_CONFIG

WEIGHTS = "adapter_model.safetensors"
_TAKEN = ("r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out")
_MEANINGLESS = (  # for adapters that are merged and not trained on
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
    *("lora_dropout", "init_lora_weights", "megatron_core", "qalora_group_size"),
)
_NAME = re.compile(r"[\w.]+")


def holds_adapters(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def base_of(folder: Path, name: str) -> str:
    """What the adapters were trained on, as `model.name` takes it."""
    if [path for path in folder.glob("*.safetensors") if path.name != WEIGHTS]:
        raise ModelError(
            f"model.name={name}: holds a model and adapters beside it ({ADAPTER_CONFIG}), and only one can be meant; "
            "take one of them away, or merge them"
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            f"model.name={name}: has no {WEIGHTS}, so there is nothing to merge into the base; fetch that file, or "
            "save the adapters by peft's save_pretrained()"
        )
    base = _facts(folder).get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise ModelError(f"model.name={name}: its {ADAPTER_CONFIG} names no base; write base_model_name_or_path there")
    return base


def merge_adapters(model: Any, folder: Path, name: str) -> None:
    """Make the adapters in `folder` part of the weights of `model`, which stays as trainable as it was."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict  # a second to import
    from peft.tuners.tuners_utils import BaseTunerLayer

    settings = LoraConfig(**_taken(_facts(folder), LoraConfig().to_dict(), name))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adapted = get_peft_model(model, settings)
    found: Any = set_peft_model_state_dict(adapted, load_file(folder / WEIGHTS))
    lacking = [key for key in found.missing_keys if "lora_" in key]
    if lacking or found.unexpected_keys:
        keys = sorted([*lacking, *found.unexpected_keys])
        raise ModelError(
            f"model.name={name}: its {WEIGHTS} {'lacks' if lacking else 'has a place in the base for no'} {keys[0]} "
            f"({len(keys)} such): these adapters belong to another base, or are not whole"
        )
    layers = {key: module for key, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    _refuse_tied(model, layers, name)
    merged = MergedAdapters(model)  # with the roundings that they were trained with
    for layer in layers.values():
        if not merged.holds(layer):
            layer.merge()
    adapted.unload()
    for parameter in trained:
        parameter.requires_grad_(True)


def _refuse_tied(model: Any, layers: Mapping[str, Any], name: str) -> None:
    """An adapter of one of two layers that share their weight has no weight of its own to be merged into."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        weight = module._parameters.get("weight")
        (shared if weight is not None and id(weight) in seen else seen).add(id(weight))
    for key, layer in layers.items():
        if id(layer.get_base_layer().weight) in shared:
            raise ModelError(
                f"model.name={name}: has an adapter for {key}, whose weight the base shares with another layer: it "
                "cannot be merged"
            )


def _facts(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"{ADAPTER_CONFIG} is no mapping")
    return facts


def _taken(facts: Mapping[str, Any], plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arguments of a LoraConfig. Raises ModelError for what is not plain LoRA."""
    kind = facts.get("peft_type", "LORA")
    odd = [key for key, value in facts.items() if key not in (*_TAKEN, *_MEANINGLESS, "peft_type") and value]
    odd = [key for key in odd if facts[key] != plain.get(key)]
    if kind != "LORA" or odd:
        raise ModelError(
            f"model.name={name}: adapters of a kind that is not merged here ({', '.join([str(kind), *odd])[:200]}); "
            "merge them by peft's merge_and_unload() and save the whole model"
        )
    taken = {key: facts[key] for key in _TAKEN if facts.get(key) is not None}
    names = [*_names(taken.get("target_modules")), *taken.get("rank_pattern", {}), *taken.get("alpha_pattern", {})]
    if not names or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in names):
        raise ModelError(
            f"model.name={name}: its {ADAPTER_CONFIG} does not name layers plainly, by a list in target_modules"
        )
    return taken


def _names(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []
