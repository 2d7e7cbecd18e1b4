"""The run's side of the vLLM worker with vllm_stand_in.py in place of vLLM: what is drawn, and from what."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.model.policy import Policy
from store.records import Completion

STAND_IN = Path(__file__).resolve().parent / "vllm_stand_in.py"
FREE = SamplingParams(temperature=1.2, max_tokens=5, stop=("\n",))
TEXTS = ("12 + 7 =", "12 + 9 =", "x")
SETTINGS = VllmSettings("float32", None, 1 << 26, 1e-3, 2)


def draws(tree: Tree, params: SamplingParams = FREE, n: int = 2) -> list[Draw]:
    return [
        Draw(tree.extend(ROOT, text.encode()), n, params, ("solver", 1, k), "solver/0") for k, text in enumerate(TEXTS)
    ]


def drawn(sampler: VllmSampler, params: SamplingParams = FREE) -> tuple[Tree, list[Completion], TokenCount]:
    tree, count = Tree(), TokenCount()
    return tree, completions(sampler.sample(tree, draws(tree, params), None, count)), count


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


def change(policy: Policy, size: float = 0.05) -> None:
    """An update of all weights, as the trainer makes one."""
    torch.manual_seed(policy.version)
    with torch.no_grad():
        for _, parameter in policy.trainable:
            parameter.add_(size * torch.randn_like(parameter))
    policy.version += 1
    policy.refresh()


def assert_drawn_from(policy: Policy, tree: Tree) -> None:
    """The log-probabilities in the tree are the policy's, at the temperature that was drawn at."""
    nodes = [node for node, label in enumerate(tree.labels) if label]
    parents = [tree.parents[node] for node in nodes]
    hidden = policy.padded_hidden(tree, parents)
    truth = (policy.head.logits(hidden) / 1.2).log_softmax(-1)
    ours = [truth[i, tree.tokens[node]].item() for i, node in enumerate(nodes)]
    np.testing.assert_allclose([tree.logprobs[node] for node in nodes], ours, atol=1e-4)
