"""A sampler whose weights are coarser than the policy's, as inference with quantised weights has them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from roles.requests import Sampled
from roles.tree import Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.model.policy import Policy
from store.records import Completion


def rounded_rows(weight: Tensor, bits: int) -> Tensor:
    """[out, in] round-to-nearest in `bits` bits, symmetric about 0, with one scale a row."""
    most = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(1, keepdim=True) / most
    return (weight / scale).round() * scale


class CoarseSampler:
    """A `Sampler`: a model of its own, which takes the policy's weights at each `load` and rounds those of the
    decoder's linear layers. What it says, and the log-probabilities it tells, are the rounded model's."""

    def __init__(self, policy: Policy, twin: Any, seed: int, bits: int) -> None:
        """`twin`: a second model of the policy's architecture, whose weights do not matter."""
        self._policy, self._bits = policy, bits
        self._coarse = Policy(twin, policy.tokenizer, policy.device)
        self._engine = TreeEngine(self._coarse, seed)
        self.load(policy.version)

    @property
    def model(self) -> Any:
        """The rounded model."""
        return self._coarse.model

    @torch.no_grad()
    def load(self, version: int) -> None:
        self._coarse.model.load_state_dict(self._policy.model.state_dict())
        for module in self._coarse.decoder.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(rounded_rows(module.weight, self._bits))
        self._coarse.version = version
        self._coarse.refresh()
        self._engine.load(version)

    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        return self._engine.sample(tree, draws, script, count)

    def end_sampling(self) -> None:
        self._engine.end_sampling()

    def close(self) -> None:
        self._engine.close()
