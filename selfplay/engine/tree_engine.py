"""The engine in this process: grows a token tree with the policy's own module.

Samples that have said the same so far are one node, so a step of decoding runs each *distinct* context once and
draws for every sample that stands there. Keys and values are kept by node: a prompt shared by a group, a header
shared by all prompts and an attempt shared by its second looks are computed once.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from roles.requests import Sampled
from roles.tree import Tree, depth_first, with_ancestors
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.sampling import Speaker, choose, say_chosen, speakers
from selfplay.model.attention.interface import KeyValues, Rows
from selfplay.model.head import ROWS_OF_LOGITS
from selfplay.model.policy import Policy
from store.records import Completion

MAX_TOKENS_PER_PASS = 2048  # bounds activations
MAX_ROW_KEYS = 1 << 14  # keys that are kept once more for each row while decoding; beyond it the tree is read
# but for long rows, where reading the tree takes as long for each token as the row is, and longer than decoding it
LONG_ROW, MAX_LONG_ROW_KEYS = 512, 1 << 16


def _fits(rows: int, longest: int) -> bool:
    """Whether so many rows, the longest of so many keys, are kept while one token more is decoded behind each."""
    return rows * (longest + 1) <= (MAX_LONG_ROW_KEYS if longest >= LONG_ROW else MAX_ROW_KEYS)


class Decoding(Protocol):
    """Another way to decode behind contexts that the tree engine has run (row_decoding.py)."""

    def run(
        self, tree: Tree, live: Sequence[Speaker], memory: KeyValues, cached: set[int], count: TokenCount
    ) -> list[Speaker]:
        """Has the `live` speakers, whose contexts but for their last token are in `memory`, say all that they have to
        say. Returns those that it leaves to the tree engine. What was run is added to `cached` and `count`."""
        ...


class TreeEngine:
    """Samples on a tree, with a memory of keys and values for the tree it saw last.

    With a `decoding`, it runs prompts and draws first tokens, and the rest is said in that way.
    """

    def __init__(self, policy: Policy, seed: int, decoding: Decoding | None = None) -> None:
        self._policy = policy
        self._seed = seed
        self._decoding = decoding
        self._tree: Tree | None = None
        self._adapter = policy.active_adapter  # that keys and values were made with
        self._memory = KeyValues()
        self._cached: set[int] = set()
        self._rows: Rows | None = None  # the contexts of the last token that was decoded
        self._row_of: dict[int, int] = {}  # context -> its row

    def end_sampling(self) -> None:
        """Forget keys and values, and the policy's copy of its weights: most of a gigabyte after an evaluation."""
        self._forget(None)
        self._policy.end_sampling()

    def load(self, version: int) -> None:
        """Forget keys and values made by older weights. Weights themselves are shared with the trainer."""
        assert version == self._policy.version, (version, self._policy.version)
        self._forget(None)

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
        self._remember_only(tree)
        groups = speakers(self._policy.tokenizer, self._seed, self._policy.version, draws, script)
        count = count or TokenCount()
        live = [speaker for group in groups for speaker in group]
        if self._decoding is not None:
            self._choose_next(tree, live, count)
            live = say_chosen(tree, live)
            self._rows, self._row_of = None, {}
            live = self._decoding.run(tree, live, self._memory, self._cached, count)
        while live:
            self._choose_next(tree, live, count)
            live = say_chosen(tree, live)
        for group in groups:
            for speaker in group:
                count.flat += tree.depths[speaker.node] + 1
        version = self._policy.version
        return [[s.sampled(version) for s in group] for group in groups]

    @torch.no_grad()
    def hidden(self, tree: Tree, nodes: Sequence[int], count: TokenCount | None = None) -> torch.Tensor:
        """See `LocalSampler.hidden`. What has been sampled is read, not run again."""
        self._remember_only(tree)
        return self._run(tree, nodes, count or TokenCount())

    def _choose_next(self, tree: Tree, live: Sequence[Speaker], count: TokenCount) -> None:
        """Chooses one more token for every live sample: runs the distinct contexts, draws from each for all of its
        samples."""
        speakers_at: dict[int, list[Speaker]] = {}
        for speaker in live:
            speakers_at.setdefault(speaker.node, []).append(speaker)
        contexts = sorted(speakers_at)
        hidden = self._run(tree, contexts, count)
        for start in range(0, len(contexts), ROWS_OF_LOGITS):
            part = contexts[start : start + ROWS_OF_LOGITS]
            logits = self._policy.head.logits(hidden[start : start + ROWS_OF_LOGITS])
            choose(logits, [speakers_at[node] for node in part])

    def _run(self, tree: Tree, contexts: Sequence[int], count: TokenCount) -> torch.Tensor:
        """[len(contexts), d] hidden states of `contexts`; runs what lies above them too, where it has not yet run."""
        if self._lay_out_rows(tree, [tree.parents[node] for node in contexts]):
            return self._continue(tree, contexts, count)
        needed = with_ancestors(tree.parents, contexts, known=self._cached)
        nodes = np.array(depth_first(tree.parents, sorted(needed)), dtype=np.int64)
        parts = [
            self._policy.tree_nodes_hidden(tree, nodes[i : i + MAX_TOKENS_PER_PASS], self._memory)
            for i in range(0, len(nodes), MAX_TOKENS_PER_PASS)
        ]
        self._cached.update(needed)
        count.computed += len(nodes)
        where = {int(node): i for i, node in enumerate(nodes)}
        rows = torch.tensor([where[node] for node in contexts], device=self._policy.device)
        return torch.cat(parts).index_select(0, rows)

    def _lay_out_rows(self, tree: Tree, parents: Sequence[int]) -> bool:
        """Puts the paths to `parents` into rows, the i-th in row i, so that one token more can be decoded behind each.

        False where one of them has not been run, or where the rows would hold too many keys. Rows that
        the last token left are reused; else keys and values are gathered from the memory.
        """
        places = [self._row_of.get(parent) for parent in parents]
        rows, self._rows = self._rows, None
        if rows is not None and None not in places and _fits(len(places), rows.longest):
            if places != list(range(len(self._row_of))):
                rows.select(torch.tensor(places, device=self._policy.device))
            self._rows = rows
            return True
        del rows  # before new ones are made
        if all(parent in self._cached for parent in parents):
            self._rows = self._policy.gathered_rows(tree, np.array(parents), self._memory, _fits)
        return self._rows is not None

    def _continue(self, tree: Tree, contexts: Sequence[int], count: TokenCount) -> torch.Tensor:
        """One token more behind each of the rows."""
        assert self._rows is not None
        nodes = np.array(contexts, dtype=np.int64)
        hidden = self._policy.next_hidden(tree, nodes, self._memory, self._rows)
        self._row_of = {node: row for row, node in enumerate(contexts)}
        self._cached.update(contexts)
        count.computed += len(contexts)
        return hidden

    def _remember_only(self, tree: Tree) -> None:
        """Forgets what is of another tree, or was made with another adapter."""
        if tree is not self._tree or self._adapter != self._policy.active_adapter:
            self._forget(tree)

    def _forget(self, tree: Tree | None) -> None:
        self._tree, self._memory, self._cached = tree, KeyValues(), set()
        self._adapter = self._policy.active_adapter
        self._rows, self._row_of = None, {}
