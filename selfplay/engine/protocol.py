"""What every sampler answers to, in this process or in another: completions below nodes of a token tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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
    """Asks for the next-token probabilities of `choices` behind `node`, and for the critic heads' values of it."""

    node: int
    choices: tuple[int, ...] = ()


@dataclass(slots=True)
class TokenCount:
    """Tokens that went through the model, and tokens a flat batch of the same work would have needed.

    `flat` counts root to leaf for every sample, without padding; `computed` counts what really ran.
    """

    computed: int = 0
    flat: int = 0


class Sampler(Protocol):
    """May hold keys and values for one tree at a time; forgets them when the tree or the weights change."""

    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        """One batched call at one temperature, top_k, top_p and min_p: completions for every draw, in order, which are
        added to the tree.

        With a `script` (every completion of the call, in order) nothing is drawn: the call is run with these tokens, so
        that tree, keys and values are what they were before a crash, bit for bit. What ran is added to `count`. Each
        completion names the versions of the policy that sampled its first and its last token.
        """
        ...

    def end_sampling(self) -> None:
        """Give up memory that only sampling needs: an update and the next evaluation want it. Sampling may go on."""
        ...

    def load(self, version: int) -> None:
        """From now on samples from the policy of `version`, whose weights it has at that moment.

        A sampler in the policy's own process shares them and only drops what was computed with the old ones; any other
        takes the new ones, and raises SyncError where it then does not have them.
        """
        ...

    def close(self) -> None:
        """Ends what the sampler keeps outside this process. It may be called again; nothing is sampled afterwards."""
        ...
