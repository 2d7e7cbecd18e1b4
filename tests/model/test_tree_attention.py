"""Attention over a path plan against attention by the book: every query and key, a mask, and autograd."""

import numpy as np
import pytest
import torch
from random_trees import random_tree
from torch import Tensor

from selfplay.model.attention import kernel, long_rows
from selfplay.model.attention import plan as plans
from selfplay.model.attention.kernel import tree_attention
from selfplay.model.attention.plan import common_prefix, path_matrix, plan_paths

HEADS, KV_HEADS, WIDTH, VALUE_WIDTH = 6, 2, 8, 5
SINKS = torch.linspace(-8.0, 3.0, HEADS)  # from next to nothing to most of a row


def by_the_book(
    query: Tensor, key: Tensor, value: Tensor, parents: np.ndarray, depths: np.ndarray, nodes: np.ndarray,
    window: int | None, softcap: float | None, sinks: Tensor | None,
) -> Tensor:  # fmt: skip
    """[N, H, E], one dense mask over all nodes; a sink is one column more."""
    seen = torch.zeros(len(nodes), len(parents), dtype=torch.bool)
    for row, node in enumerate(nodes):
        above = node
        while above >= 0:
            seen[row, above] = bool(window is None or depths[node] - depths[above] < window)
            above = parents[above]
    keys, values = (x.repeat_interleave(HEADS // KV_HEADS, 1).transpose(0, 1) for x in (key, value))
    scores = query.transpose(0, 1) @ keys.mT * 0.3
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~seen, float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(-1, len(nodes), 1)], -1)
    return (scores.softmax(-1)[..., : len(parents)] @ values).transpose(0, 1)


@pytest.mark.parametrize("limits", [{}, {"LONG": 3}, {"KEPT_BYTES": 0, "MOST_KEPT_MASK": 0}], ids=str)
@pytest.mark.parametrize("value_width", [VALUE_WIDTH, WIDTH])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize(("softcap", "has_sinks"), [(None, False), (0.7, False), (None, True), (0.7, True)])
@pytest.mark.parametrize("seed", range(4))
def test_outputs_and_gradients_are_those_of_a_dense_mask(
    seed: int, softcap: float | None, has_sinks: bool, window: int | None, value_width: int, limits: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Long chains by torch's flash kernel and by blocks, and weights that are made again, are tested on small trees."""
    monkeypatch.setattr(long_rows, "BLOCK", 2)
    for name, limit in limits.items():
        monkeypatch.setattr(kernel if name == "KEPT_BYTES" else plans, name, limit)
    parents, depths = random_tree(seed, 60)
    nodes = np.arange(20 if seed % 2 else 0, 60)  # some keys are only in the buffer, as while sampling
    plan = plan_paths(parents, depths, nodes, torch.device("cpu"))
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(len(nodes), HEADS, WIDTH, generator=random, requires_grad=True)
    key = torch.randn(60, KV_HEADS, WIDTH, generator=random, requires_grad=True)
    value = torch.randn(60, KV_HEADS, value_width, generator=random, requires_grad=True)
    sinks = SINKS.clone().requires_grad_() if has_sinks else None
    wanted = torch.randn(len(nodes), HEADS, value_width, generator=random)

    ours = tree_attention(query, key, value, plan, window, 0.3, softcap, sinks)
    truth = by_the_book(query, key, value, parents, depths, nodes, window, softcap, sinks)
    torch.testing.assert_close(ours, truth, atol=1e-5, rtol=1e-5)
    by = [query, key, value] if sinks is None else [query, key, value, sinks]
    found, expected = (torch.autograd.grad(each, by, wanted) for each in (ours, truth))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_the_trees_above_have_rows_of_several_widths_and_shared_keys() -> None:
    """Else padding and what all rows share would not be tested."""
    shared, padded = 0, 0
    for seed in range(4):
        parents, depths = random_tree(seed, 60)
        for bucket in plan_paths(parents, depths, np.arange(60), torch.device("cpu")).buckets:
            shared += bucket.shared * (len(bucket.lengths) > 1)
            padded += int(bucket.padding().sum())
    assert shared > 0
    assert padded > 0


def test_a_prefix_ends_where_the_shortest_path_does() -> None:
    parents, depths = np.array([-1, 0, 1, 2, 1]), np.array([0, 1, 2, 3, 2])
    paths = path_matrix(parents, depths, np.array([3, 4]))
    assert common_prefix(paths) == 2
    assert common_prefix(path_matrix(parents, depths, np.array([1, 3]))) == 2
    assert common_prefix(paths[:1]) == 4
    assert common_prefix(path_matrix(np.array([-1, -1]), np.array([0, 0]), np.array([0, 1]))) == 0
