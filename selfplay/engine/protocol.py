"""What every engine answers to: sample completions below nodes of a token tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from roles.requests import Sampled, SamplingParams
from roles.tree import Tree
from store.records import Completion


@dataclass(frozen=True, slots=True)
class Draw:
    """Sample `n` completions below `node`. Sample i draws from the random stream of (seed, *key, i, version)."""

    node: int
    n: int
    params: SamplingParams
    key: tuple[str | int, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """What comes behind `node`? `choices`: ids that are compared; none asks the critic heads only."""

    node: int
    choices: tuple[int, ...] = ()


@dataclass(slots=True)
class TokenCount:
    """Tokens that went through the model, and tokens a flat batch of the same work would have needed.

    `flat` counts root to leaf for every sample, without padding; `computed` counts what really ran.
    """

    computed: int = 0
    flat: int = 0

    def add(self, computed: int, flat: int) -> None:
        self.computed += computed
        self.flat += flat


class Engine(Protocol):
    """Holds keys and values for one tree at a time; forgets them when the tree or the weights change."""

    tokens: TokenCount

    def sample(
        self, tree: Tree, draws: Sequence[Draw], script: Sequence[Completion] | None = None
    ) -> list[list[Sampled]]:
        """One batched call: completions for every draw, in order; the tree grows by what was said.

        With a `script` (every completion of the call, in order) nothing is drawn: the call is run as it was, so
        that tree, keys and values are what they were before a crash, bit for bit.
        """
        ...

    def hidden(self, tree: Tree, nodes: Sequence[int]) -> Tensor:
        """[len(nodes), d] final hidden states of `nodes`, ascending and distinct, in the policy's own process.

        An engine that runs elsewhere has none to give: scores are the trainer's to make (selfplay/train/scorer.py).
        """
        ...

    def end_sampling(self) -> None:
        """Give up memory that only sampling needs: an update and the next evaluation want it. Sampling may go on."""
        ...

    def load(self, version: int) -> None:
        """New weights are in the policy: drop what was computed with the old ones."""
        ...
