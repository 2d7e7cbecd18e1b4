"""Merged LoRA: the logits and gradients that peft's own layers have, at the price of the plain ones."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from selfplay.model.adapters import MergedAdapters
from selfplay.model.weights.loading import load_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, of transformers
IDS = torch.arange(40).view(2, 20)
LAYERS = ["q_proj", "v_proj", "down_proj"]


def adapted(name: str, layers: list[str]) -> nn.Module:
    """A tiny model with adapters of which neither matrix is zero, as peft runs it."""
    model = load_model(name, "float32").model
    torch.manual_seed(3)
    get_peft_model(model, LoraConfig(r=3, lora_alpha=12, target_modules=layers))
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return model


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def gradients(model: nn.Module) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    model(input_ids=IDS).logits.log_softmax(-1)[..., 7].sum().backward()
    return {name: p.grad for name, p in trained(model).items()}


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3", "tiny-gemma"])
def test_logits_and_gradients_are_those_of_peft(name: str) -> None:
    theirs = adapted(name, LAYERS)
    ours = copy.deepcopy(theirs)
    merged = MergedAdapters(ours)
    assert len(merged) == len(LAYERS) * ours.config.num_hidden_layers
    with torch.no_grad():
        torch.testing.assert_close(ours(input_ids=IDS).logits, theirs(input_ids=IDS).logits, atol=1e-5, rtol=1e-5)
    expected, found = gradients(theirs), gradients(ours)
    assert len(found) == 2 * len(merged)
    for key, truth in expected.items():
        assert truth is not None and truth.abs().max() > 1e-4, key
        torch.testing.assert_close(found[key], truth, atol=1e-4, rtol=1e-4, msg=key)


def test_what_samples_is_what_is_trained_bit_for_bit_after_a_merge() -> None:
    model = adapted("tiny-llama", LAYERS).bfloat16()
    merged = MergedAdapters(model)
    before = model(input_ids=IDS).logits.detach()
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(0.05)
        assert torch.equal(model(input_ids=IDS).logits, before)  # adapters alone do not run
    merged.merge()
    after = model(input_ids=IDS).logits
    assert not torch.equal(after, before)
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, after)


def test_adapters_at_nothing_leave_the_weights_as_they_were() -> None:
    model = load_model("tiny-llama", "float32").model
    plain = {name: p.clone() for name, p in model.named_parameters()}
    get_peft_model(model, LoraConfig(r=2, target_modules=LAYERS))  # B begins at zero
    merged = MergedAdapters(model)
    merged.merge()
    kept = {name.replace(".base_layer", ""): p for name, p in model.named_parameters() if "lora_" not in name}
    assert kept.keys() == plain.keys()
    assert all(torch.equal(kept[name], p) for name, p in plain.items())


def test_layers_of_another_kind_stay_as_peft_has_them() -> None:
    model = load_model("tiny-gpt2", "float32").model
    get_peft_model(model, LoraConfig(r=2, target_modules=["c_fc"], fan_in_fan_out=True))
    assert len(MergedAdapters(model)) == 0
    assert all(g is not None for g in gradients(model).values())
