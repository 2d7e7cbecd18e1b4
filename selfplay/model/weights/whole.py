"""Is a loaded model the one that its folder describes? What the loading library only warns of is an error here.

A tensor that a folder lacks is made at random, one of another shape too, and one that the model has no place for is
left out: each time training would start from something else than the folder holds. What a model declares itself
(tied heads, buffers that are made anew) is none of these; transformers takes it out before we see it.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from selfplay.machine.errors import ModelError
from selfplay.model.weights.reading import Say

_SHOWN = 3  # tensors that a message names


def refuse_quantised(config: Any, name: str) -> None:
    """Raises ModelError for weights that are stored as something else than numbers that can be trained."""
    for part in (config, config.get_text_config()):
        if facts := getattr(part, "quantization_config", None):
            read = facts.get if isinstance(facts, dict) else lambda key: getattr(facts, key, None)
            method = read("quant_method")
            raise ModelError(
                f"model.name={name}: its weights are quantised ({getattr(method, 'value', method)}), which cannot be "
                "trained; give the folder or id of the same model in bfloat16 or float32"
            )


def refuse_parts(model: nn.Module, loading: dict[str, Any], name: str, say: Say) -> None:
    """Raises ModelError unless every weight came from the folder and found its place. Parts that a causal model has no
    use for (a vision tower's) are left out, and `say` is told."""
    if missing := loading["missing_keys"]:
        _refuse(name, "lacks", missing, "they would be random")
    if mismatched := [key[0] if isinstance(key, tuple) else key for key in loading["mismatched_keys"]]:
        _refuse(name, "has in another shape", mismatched, "they would be random")
    unexpected = set(loading["unexpected_keys"])
    spare = {key for key in unexpected if _is_of_a_part_of_its_own(model, key)}
    if unplaced := unexpected - spare:
        _refuse(name, "has", unplaced, "the model that config.json describes has no place for them")
    if spare:
        parts = sorted({".".join(key.split(".")[: _depth(model, key) + 1]) for key in spare})
        say(f"{name}: left out, since text does not need it: {', '.join(parts[:_SHOWN])}{_more(parts)}")


def _refuse(name: str, verb: str, keys: Collection[str], reason: str) -> None:
    shown = sorted(keys)
    raise ModelError(
        f"model.name={name}: its folder {verb} {', '.join(shown[:_SHOWN])}{_more(shown)}: {reason}. Its configuration "
        "and its weights do not belong together, or a download was cut: fetch it again, or save it by save_pretrained()"
    )


def _more(keys: Collection[str]) -> str:
    return f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""


def _is_of_a_part_of_its_own(model: nn.Module, key: str) -> bool:
    """Whether the tensor belongs to a module that stands beside the decoder, and that this model does not have."""
    depth = _depth(model, key)
    above = ".".join(key.split(".")[:depth])
    return depth < key.count(".") and above in ("", getattr(model, "base_model_prefix", ""))


def _depth(model: nn.Module, key: str) -> int:
    """How many of a tensor's parts, from the left, name a module of the model."""
    module: Any = model
    for depth, part in enumerate(key.split(".")):
        if part not in module._modules:
            return depth
        module = module._modules[part]
    return key.count(".") + 1


def refuse_tokenizer(model: Any, tokenizer: Any, name: str) -> None:
    """Raises ModelError where texts have ids that the model has no embedding for.

    Gemma 3's text models have one token less than their tokenizer, that of an image: such a token of the tokenizer's
    own is let be, and the prompt that spells it is refused (`Encoder` in selfplay/prompting/codec.py).
    """
    rows = model.get_input_embeddings().weight.shape[0]
    own = tokenizer.get_added_vocab()
    needed = [i for token, i in tokenizer.get_vocab().items() if token not in own]
    needed += [i for i in (tokenizer.eos_token_id, tokenizer.bos_token_id) if i is not None]
    if (largest := max(needed, default=0)) >= rows:
        raise ModelError(
            f"model.name={name}: its tokenizer has ids up to {largest}, its embedding {rows} rows: the tokenizer is "
            "another model's; give a folder where both belong together"
        )


@torch.no_grad()
def freeze_unreached(model: Any, name: str, say: Say) -> None:
    """Train nothing of a model of several media that a text never passes through, such as a vision tower."""
    if model.config.get_text_config() is model.config:
        return
    ran: set[str] = set()
    hooks = [m.register_forward_hook(lambda *_, n=n: ran.add(n)) for n, m in model.named_modules()]
    try:
        model.eval()(input_ids=torch.arange(4)[None], use_cache=False)
    except Exception:  # any architecture may fail in its own way: selfplay/model/probe.py refuses those that do
        return
    finally:
        for hook in hooks:
            hook.remove()
    if parts := _unreached(model, ran):
        for part in parts:
            model.get_submodule(part).requires_grad_(False)
        say(f"{name}: not trained, since text never reaches it: {', '.join(parts)}")


def _unreached(model: nn.Module, ran: Collection[str]) -> list[str]:
    """Names of the outermost modules with parameters that did not run. A layer's experts may not have been chosen:
    what is one of a list is no part of its own."""
    found: list[str] = []
    for name, module in model.named_modules():
        is_inside = any(name.startswith(f"{outer}.") for outer in found)
        is_listed = any(part.isdecimal() for part in name.split("."))
        if not name or is_inside or is_listed or next(module.parameters(), None) is None:
            continue
        if not any(other == name or other.startswith(f"{name}.") for other in ran):
            found.append(name)
    return found
