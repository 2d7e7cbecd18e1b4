"""Critic heads: what the policy's hidden state says of a partial answer, trained online on the trees' outcomes.

Two numbers in [0, 1] for every step of an answer: `value`, the share of right answers among those that go on from it,
and `process`, whether that share is above a threshold, which makes it a good step. The heads read the hidden state and
push nothing back into the policy, so a run's policy is the same with and without them. Targets are soft and the loss
is cross-entropy, a proper score like the squared error of AlphaLLM (arXiv 2404.12253), whose slope does not vanish
where a head is surely wrong. Left out: a tower of its own for the critics; they see what the policy sees.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from roles.tree import Tree
from selfplay.learn.critic_batch import CriticBatch
from selfplay.metrics import CRITIC_LOSS
from selfplay.model.attention.interface import KeyValues
from selfplay.model.policy import Policy

TOKENS_PER_PASS = 2048  # bounds activations


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """Heads of one hidden layer of `width`; `epochs` Adam steps at `learning_rate` on every batch. `last_step` > 0: the
    heads stay as they are after that many updates (a control: critics that are not refreshed)."""

    width: int = 64
    learning_rate: float = 3e-3
    epochs: int = 4
    last_step: int = 0


@torch.no_grad()
def forest_hidden(policy: Policy, batch: CriticBatch, is_padded: bool) -> Tensor:
    """[M, d] hidden states of the batch's nodes. `is_padded`: in padded rows, for a policy that cannot run on trees."""
    forest = Tree(parents=_whole(batch.parents), tokens=_whole(batch.ids), depths=_whole(batch.depths))
    if is_padded:
        return policy.padded_hidden(forest, batch.nodes.tolist())
    memory, every = KeyValues(), np.arange(len(batch.ids))
    parts = [
        policy.tree_nodes_hidden(forest, every[i : i + TOKENS_PER_PASS], memory)
        for i in range(0, len(every), TOKENS_PER_PASS)
    ]
    return torch.cat(parts)[torch.from_numpy(batch.nodes).to(policy.device)]


def _whole(column: np.ndarray) -> array[int]:
    return array("q", column.astype(np.int64).tobytes())


class Critic:
    """The heads and their optimizer: fp32, of the run's seed, and part of checkpoints and digests."""

    def __init__(self, hidden_size: int, seed: int, device: torch.device, settings: CriticSettings) -> None:
        self._settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = nn.Sequential(nn.Linear(hidden_size, settings.width), nn.GELU(), nn.Linear(settings.width, 2))
            nn.init.zeros_(layers[2].weight)  # type: ignore[arg-type]  # at first everything is worth one half
            nn.init.zeros_(layers[2].bias)  # type: ignore[arg-type]
        self._layers = layers.to(device)
        self._optimizer = torch.optim.AdamW(self._layers.parameters(), lr=settings.learning_rate, weight_decay=0.0)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Named parameters."""
        return {name: parameter.detach() for name, parameter in self._layers.named_parameters()}

    @torch.no_grad()
    def predict(self, hidden: Tensor) -> Tensor:
        """[N, 2] of hidden [N, d]: a column for each of HEADS, in [0, 1]."""
        return torch.sigmoid(self._layers(hidden.float()))

    def step(self, hidden: Tensor, batch: CriticBatch, version: int) -> dict[str, float]:
        """Fit the heads to a batch whose hidden states are [M, d]. Returns the loss before the first step."""
        if 0 < self._settings.last_step <= version:
            return {}
        device = hidden.device
        wanted, weights = (torch.from_numpy(a).to(device, torch.float32) for a in (batch.targets, batch.weights))
        total = weights.sum().clamp(min=1.0)
        losses = []
        for _ in range(self._settings.epochs):
            logits = self._layers(hidden.float())
            each = nn.functional.binary_cross_entropy_with_logits(logits, wanted, weights, reduction="sum")
            loss = each / total
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            losses.append(loss.item())
        return {CRITIC_LOSS: losses[0]}

    def state(self) -> dict[str, Tensor]:
        """Parameters and Adam's moments as named tensors: what a checkpoint keeps."""
        found = {f"critic/{name}": tensor for name, tensor in self.tensors.items()}
        for name, parameter in self._layers.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                found[f"critic_adam/{key}/{name}"] = value
        return found

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        for name, parameter in self._layers.named_parameters():
            parameter.copy_(tensors[f"critic/{name}"])
            keys = ("step", "exp_avg", "exp_avg_sq")
            kept = {k: tensors[f"critic_adam/{k}/{name}"] for k in keys if f"critic_adam/{k}/{name}" in tensors}
            self._optimizer.state.pop(parameter, None)
            if kept:  # AdamW that is not fused keeps its step count on the CPU
                self._optimizer.state[parameter] = {
                    k: tensor.to("cpu" if k == "step" else parameter.device, copy=True) for k, tensor in kept.items()
                }
