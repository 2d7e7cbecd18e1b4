"""Fused norms: the same numbers and gradients as the model's own, and only where they are."""

import pytest
import torch
from torch import nn

from selfplay.model.norms import fuse_norms, rms_norm
from selfplay.model.weights.loading import load_model

IDS = torch.arange(40).view(2, 20)


def num_fused(model: nn.Module) -> int:
    """How many norms `fuse_norms` takes over: those that get a forward of their own."""
    fuse_norms(model)
    return sum("forward" in vars(module) for module in model.modules())


def gradients(model: nn.Module) -> list[torch.Tensor]:
    model.zero_grad()
    model(input_ids=IDS).logits.float().log_softmax(-1)[..., 7].sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(("name", "fused"), [("tiny-llama", 2), ("tiny-qwen3", 4), ("tiny-gpt2", 0), ("tiny-gemma", 0)])
def test_logits_and_gradients_stay(name: str, fused: int) -> None:
    model = load_model(name, "float32").model
    with torch.no_grad():
        for parameter in model.parameters():  # a weight of all ones would hide where it is applied
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
    logits, expected = model(input_ids=IDS).logits, gradients(model)
    layers = model.config.num_hidden_layers
    assert num_fused(model) == (fused * layers + 1 if fused else 0)
    torch.testing.assert_close(model(input_ids=IDS).logits, logits, atol=1e-5, rtol=1e-5)
    for found, truth in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(found, truth, atol=1e-4, rtol=1e-4)


def test_a_norm_that_says_one_eps_and_adds_another_stays_as_it_is() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(16)), 1e-2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)

    assert num_fused(nn.Sequential(Odd())) == 0
    assert num_fused(nn.Sequential(nn.LayerNorm(16))) == 0
    assert num_fused(nn.Sequential(nn.RMSNorm(16, eps=1e-6))) == 1


def test_in_bf16_the_sum_of_squares_is_fp32() -> None:
    x = torch.randn(3, 4096, generator=torch.Generator().manual_seed(0)).bfloat16()
    ours = rms_norm(x, torch.ones(4096).bfloat16(), 1e-6)
    truth = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(ours.double(), truth, rtol=2**-8, atol=0.0)


def test_a_frozen_weight_gets_no_gradient_and_a_copy_keeps_its_own() -> None:
    import copy

    model = nn.Sequential(nn.RMSNorm(8, eps=1e-6))
    fuse_norms(model)
    model[0].weight.requires_grad_(False)
    x = torch.randn(2, 8, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert model[0].weight.grad is None
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.fill_(2.0)
    torch.testing.assert_close(twin(x), 2.0 * model(x))
