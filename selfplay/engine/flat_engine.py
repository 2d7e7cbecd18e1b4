"""The padded way to sample: one row for every sample, left-padded prompts, the model's own attention and cache.

The fallback for models that selfplay/model/probe.py finds unable to run on trees, and the baseline of benchmarks. It
draws from the same random streams as the tree engine, so it samples the same up to rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from roles.requests import Sampled
from roles.tree import Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.sampling import choose, say_chosen, speakers
from selfplay.model.head import ROWS_OF_LOGITS
from selfplay.model.padding import left_padded
from selfplay.model.policy import Policy
from store.records import Completion


class FlatEngine:
    """Samples without sharing anything between rows or calls."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._seed = seed

    def end_sampling(self) -> None:
        """Keys and values live as long as a call; the policy may have a copy of its weights."""
        self._policy.end_sampling()

    def load(self, version: int) -> None:
        """Nothing is kept between calls."""
        assert version == self._policy.version, (version, self._policy.version)

    def close(self) -> None:
        """Everything is in this process."""

    @torch.no_grad()
    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        """See `Sampler.sample`."""
        groups = speakers(self._policy.tokenizer, self._seed, self._policy.version, draws, script)
        rows = [speaker for group in groups for speaker in group]
        ids, mask = left_padded([[tree.tokens[n] for n in tree.path(s.draw.node)] for s in rows], self._policy.device)
        cache, seen = self._policy.new_cache(), mask
        count = count or TokenCount()
        live = rows
        while live:
            positions = (seen.cumsum(-1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
            hidden = self._policy.cached_hidden(ids, seen, positions, cache)[:, -1]
            count.computed += ids.numel()
            open_rows = [i for i, speaker in enumerate(rows) if speaker.finish is None]
            for start in range(0, len(open_rows), ROWS_OF_LOGITS):
                part = open_rows[start : start + ROWS_OF_LOGITS]
                choose(self._policy.head.logits(hidden[part]), [[rows[i]] for i in part])
            live = say_chosen(tree, live)
            ids = torch.tensor([[speaker.ids[-1]] for speaker in rows], device=self._policy.device)
            seen = torch.cat([seen, torch.ones_like(ids)], dim=1)
        for speaker in rows:
            count.flat += tree.depths[speaker.node] + 1
        version = self._policy.version
        return [[s.sampled(version) for s in group] for group in groups]

    @torch.no_grad()
    def hidden(self, tree: Tree, nodes: Sequence[int], count: TokenCount | None = None) -> Tensor:
        """See `LocalSampler.hidden`."""
        (count or TokenCount()).computed += sum(tree.depths[node] + 1 for node in nodes)
        return self._policy.padded_hidden(tree, nodes)
