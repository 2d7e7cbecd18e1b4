"""Sums of gradients where they arise: tests/model/test_parity.py proves them against autograd's on whole models; here
is what those models do not have."""

import pytest
import torch
from torch import Tensor, nn

from selfplay.model.head import Head
from selfplay.model.weights.loading import load_model
from selfplay.train.gradients import Gradients

IDS = torch.tensor([[3, 1, 3], [0, 2, 3]])


class Scaled(nn.Embedding):
    """As Gemma's: its rows are not the weight's."""

    def forward(self, ids: Tensor) -> Tensor:
        return 3.0 * super().forward(ids)


def loss(embedding: nn.Embedding) -> Tensor:
    return (embedding(IDS) * torch.arange(1.0, 13.0).view(2, 3, 2)).sum()


@pytest.mark.parametrize("make", [nn.Embedding, Scaled])
@pytest.mark.parametrize("padding", [None, 1])
def test_an_embeddings_rows_get_what_autograd_gives_them(make: type[nn.Embedding], padding: int | None) -> None:
    embedding = make(5, 2, padding_idx=padding)
    loss(embedding).backward()
    truth = embedding.weight.grad
    assert truth is not None and truth.abs().sum() > 0
    embedding.weight.grad = None
    gradients = Gradients([("rows", embedding.weight)], embedding)
    for times in (2, 1):  # the second step holds nothing of the first
        gradients.begin()
        for _ in range(times):
            with gradients.collecting():
                loss(embedding).backward()
        assert torch.equal(gradients.finished()["rows"], times * truth)
        assert embedding.weight.grad is None


def test_outside_of_a_pack_autograd_is_left_alone() -> None:
    embedding = nn.Embedding(5, 2)
    gradients = Gradients([("rows", embedding.weight)], embedding)
    with gradients.collecting():
        loss(embedding).backward()
    loss(embedding).backward()
    assert embedding.weight.grad is not None
    assert torch.equal(gradients.finished()["rows"], embedding.weight.grad)


def test_what_is_not_trained_has_no_sum() -> None:
    embedding = nn.Embedding(5, 2)
    embedding.weight.requires_grad_(False)
    adapter = nn.Parameter(torch.ones(2))
    gradients = Gradients([("adapter", adapter)], embedding)
    assert gradients.sum_of(embedding.weight) is None
    with gradients.collecting():
        (embedding(IDS) * adapter).sum().backward()
    assert torch.equal(gradients.finished()["adapter"], embedding(IDS).sum((0, 1)))


def test_the_heads_memory_is_not_taken_from_a_graph_that_needs_it() -> None:
    model = load_model("tiny-llama", "float32").model
    head = Head(model)
    hidden = torch.ones(3, head.weight.shape[1], requires_grad=True)
    targets = torch.tensor([1, 2, 3])
    first = head.logprobs(hidden, targets, None, 2)
    second = head.logprobs(hidden, targets, None, 2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        first.sum().backward()
    second.sum().backward()
    assert hidden.grad is not None
