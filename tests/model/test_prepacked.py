"""Weights in blocks: the same products, only where they help, and never those of an older policy."""

import numpy as np
import pytest
import torch
from torch import nn

from roles.tree import Tree
from selfplay.model.attention.interface import KeyValues
from selfplay.model.head import Head
from selfplay.model.policy import Policy
from selfplay.model.prepacked import PATIENCE, PrepackedLinears, prepack, prepacked_product, prepacks
from selfplay.model.weights.loading import load_model

WEIGHT = torch.randn(192, 576, generator=torch.Generator().manual_seed(1)).bfloat16()
needs_blocks = pytest.mark.skipif(not prepacks(WEIGHT), reason="this machine's oneDNN has no bf16 products")


@needs_blocks
@pytest.mark.parametrize("rows", [1, 5, 40, 300])
def test_blocks_give_the_plain_product(rows: int) -> None:
    x = torch.randn(1, rows, 576, generator=torch.Generator().manual_seed(rows)).bfloat16()
    for bias in (None, torch.arange(192.0).bfloat16()):
        ours, plain = prepacked_product(x, prepack(WEIGHT), bias), nn.functional.linear(x, WEIGHT, bias)
        if torch.__version__ >= "2.13":  # the pinned one, which for some other shapes rounds a few apart too
            assert torch.equal(ours, plain)
        torch.testing.assert_close(ours, plain, rtol=2**-7, atol=1e-4)  # the last bit: torch 2.11 rounds a few apart
        assert (ours != plain).float().mean() < 1e-3


def test_only_bf16_on_a_cpu_is_laid_out_anew() -> None:
    assert not prepacks(WEIGHT.float())
    assert not prepacks(WEIGHT.to("meta"))
    linear = nn.Linear(4, 4)
    linears = PrepackedLinears(linear)
    for _ in range(PATIENCE + 1):
        with linears.applied():
            assert "forward" not in vars(linear)


@needs_blocks
def test_a_layer_is_as_it_was_afterwards_even_after_an_error() -> None:
    layer = nn.Linear(64, 32).bfloat16()
    linears = PrepackedLinears(nn.Sequential(layer))
    for _ in range(PATIENCE):
        with linears.applied():
            assert "forward" not in vars(layer)
    with pytest.raises(ZeroDivisionError), linears.applied():
        assert "forward" in vars(layer)
        raise ZeroDivisionError
    assert "forward" not in vars(layer)
    layer(torch.ones(2, 64).bfloat16()).sum().backward()
    assert layer.weight.grad is not None


@needs_blocks
def test_new_weights_are_sampled_with_once_the_policy_is_told() -> None:
    loaded = load_model("tiny-llama", "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    tree = Tree()
    tree.extend(-1, b"12 + 7 =")

    def anew() -> torch.Tensor:
        return hidden(Policy(loaded.model, loaded.tokenizer, torch.device("cpu")), tree)

    before = patiently_hidden(policy, tree)
    assert torch.equal(before, anew())
    with torch.no_grad():
        for _, parameter in policy.trainable:
            parameter.mul_(1.25)
    policy.refresh()
    after = patiently_hidden(policy, tree)
    assert torch.equal(after, anew())
    assert not torch.equal(after, before)


def patiently_hidden(policy: Policy, tree: Tree) -> torch.Tensor:
    """Of a pass that runs on blocks."""
    return [hidden(policy, tree) for _ in range(PATIENCE + 1)][-1]


def hidden(policy: Policy, tree: Tree) -> torch.Tensor:
    with torch.no_grad():
        return policy.tree_nodes_hidden(tree, np.arange(len(tree)), KeyValues())


@needs_blocks
def test_logits_of_a_served_model_are_fp32_sums_of_its_own_bf16_numbers() -> None:
    loaded = load_model("tiny-llama", "bfloat16")
    head = Head(loaded.model)
    x = torch.randn(7, head.weight.shape[1], generator=torch.Generator().manual_seed(3)).bfloat16()
    exact = x.double() @ head.weight.detach().double().T
    assert (head.logits(x).double() - exact).abs().max() < 1e-5 * exact.abs().max()
