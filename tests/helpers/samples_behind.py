"""Samples of a sampler behind some texts, and how far their log-probabilities are from the policy's."""

from collections.abc import Sequence

import torch

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, Sampler, TokenCount
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import VOCABULARY
from store.records import Completion


def draws_behind(tree: Tree, texts: Sequence[str], params: SamplingParams, n: int) -> list[Draw]:
    """`n` completions of each text, which is read as bytes."""
    nodes = [tree.extend(ROOT, text.encode()) for text in texts]
    return [Draw(node, n, params, ("solver", 1, k), "solver/0") for k, node in enumerate(nodes)]


def drawn_behind(
    sampler: Sampler, texts: Sequence[str], params: SamplingParams, n: int
) -> tuple[Tree, list[Completion], TokenCount]:
    """In a tree of their own."""
    tree, count = Tree(), TokenCount()
    return tree, completions(sampler.sample(tree, draws_behind(tree, texts, params, n), None, count)), count


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


def apart(policy: Policy, tree: Tree, temperature: float) -> float:
    """The largest difference, in nats, of the tree's log-probabilities from the policy's."""
    nodes = [node for node, label in enumerate(tree.labels) if label]
    hidden = policy.padded_hidden(tree, [tree.parents[node] for node in nodes])
    every = policy.head.logits(hidden) / (temperature or 1.0)
    for row, node in enumerate(nodes):
        if node in tree.supports:
            left = torch.zeros(VOCABULARY, dtype=torch.bool)
            left[torch.from_numpy(tree.supports[node].ids()).long()] = True
            every[row] = every[row].masked_fill(~left, -torch.inf)
    truth = every.log_softmax(-1)
    return max(abs(truth[row, tree.tokens[node]].item() - tree.logprobs[node]) for row, node in enumerate(nodes))


def change(policy: Policy, size: float = 0.05) -> None:
    """An update of all weights, as the trainer makes one."""
    torch.manual_seed(policy.version)
    with torch.no_grad():
        for _, parameter in policy.trainable:
            parameter.add_(size * torch.randn_like(parameter))
    policy.version += 1
    policy.refresh()
