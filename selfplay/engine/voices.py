"""Which sampler speaks for which role, and with which weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from selfplay.engine.protocol import Sampler

EngineKind = Literal["local", "vllm"]  # what samples from the policy
WeightsKind = Literal["files", "ipc", "nccl"]  # how the policy's weights come to a worker of vLLM
DecodingKind = Literal["auto", "tree", "rows"]  # how it samples, in this process
Speaks = Literal["challenger", "solver", "judge"]


@dataclass(frozen=True, slots=True)
class Voices:
    """`policy` samples from the model that is trained. `start`, if there is one, samples from the weights that it began
    with, for the roles in `frozen` and for evaluations that compare with it. `adapted`: who samples for the roles that
    have an adapter of their own on the model that is trained; it shares the memory of `policy`."""

    policy: Sampler
    start: Sampler | None = None
    frozen: frozenset[Speaks] = frozenset()
    adapted: Mapping[Speaks, Sampler] = field(default_factory=dict)

    def of(self, role: Speaks) -> Sampler:
        """Who samples for a role."""
        if role not in self.frozen:
            return self.adapted.get(role, self.policy)
        assert self.start is not None, f"{role} is frozen, and nobody has the start weights"
        return self.start

    def serve(self, version: int) -> None:
        """From now on the policy's sampler says what the policy of `version` says. The start weights stay."""
        self.policy.load(version)

    def end_sampling(self) -> None:
        """Give up memory that only sampling needs."""
        for sampler in (self.policy, self.start):
            if sampler is not None:
                sampler.end_sampling()

    def close(self) -> None:
        """End what samplers keep outside this process."""
        for sampler in (self.policy, self.start):
            if sampler is not None:
                sampler.close()
