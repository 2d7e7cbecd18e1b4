"""A sampler that speaks with another of the policy's adapters than the default one."""

from collections.abc import Sequence
from dataclasses import dataclass

from roles.requests import Sampled
from roles.tree import Tree
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.model.policy import Policy
from store.records import Completion


@dataclass(frozen=True, slots=True)
class AdaptedSampler:
    """Has `sampler`, in this process, sample with the adapter of the policy that is named `adapter`. The two share
    memory: keys and values of one adapter are forgotten when the other speaks."""

    policy: Policy
    sampler: LocalSampler
    adapter: str

    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        """See `Sampler.sample`."""
        with self.policy.activated(self.adapter):
            return self.sampler.sample(tree, draws, script, count)

    def end_sampling(self) -> None:
        """See `Sampler.end_sampling`."""
        self.sampler.end_sampling()

    def load(self, version: int) -> None:
        """See `Sampler.load`: all adapters have one version."""
        self.sampler.load(version)

    def close(self) -> None:
        """See `Sampler.close`."""
        self.sampler.close()
