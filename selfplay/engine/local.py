"""What only a sampler in the policy's own process can do."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from roles.tree import Tree
from selfplay.engine.protocol import Sampler, TokenCount


class LocalSampler(Sampler, Protocol):
    """Reads the policy's hidden states, which no other process has to give."""

    def hidden(self, tree: Tree, nodes: Sequence[int], count: TokenCount | None = None) -> Tensor:
        """[len(nodes), d] final hidden states of `nodes`, ascending and distinct. What ran is added to `count`."""
        ...
