"""The policy: one module that samples and trains, run on packed trees or on padded rows.

The module's parameters are in the served precision (bf16 by default); the trainer keeps fp32 masters of them and
copies them back after each update (selfplay/train/trainer.py). Hidden states come from the decoder alone; logits
are made in chunks by selfplay/head.py, so the whole [tokens, vocabulary] matrix never exists.

Whether a model can run on trees is found out, not assumed: `check_paths` compares both ways on a small random tree.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from roles.tree import Tree
from selfplay import attention
from selfplay.adapters import MergedAdapters
from selfplay.attention import KeyValues, Pass, Rows, attending
from selfplay.head import Head
from selfplay.norms import fuse_norms
from selfplay.paths import common_prefix, path_matrix, plan_paths
from selfplay.prepacked import PrepackedLinears
from selfplay.windows import narrow_windows

PARITY_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # relative error of hidden states, tree against flat
PROBE_LENGTH = 12  # tokens that most of the probe's paths share
PROBE_WINDOW = 5  # narrower than the probe's paths


class NonFiniteError(ArithmeticError):
    """Logits, loss or gradient were NaN or infinite. Raised before anything of it is kept."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Outcome of the check at start: may this model run on trees, and how far apart were the two ways."""

    holds: bool
    relative_error: float
    reason: str


class Policy:
    """A causal language model of transformers and its tokenizer.

    `version` counts updates since the base model; `trainable` names the parameters that an update changes.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self.model = model.to(device).eval()
        fuse_norms(self.model)
        self.tokenizer = tokenizer
        self.device = device
        self.version = 0
        self.adapter: Any = None  # the peft model around `model`, when adapters are trained
        self._adapters: MergedAdapters | None = None
        self.head = Head(model)
        self._decoder: Any = model.base_model
        self._prepacked = PrepackedLinears(self._decoder)
        self._flat_implementation: str = model.config._attn_implementation

    @property
    def dtype(self) -> torch.dtype:
        return self.head.weight.dtype

    @property
    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Named parameters that require a gradient, tied ones once, in the module's own order."""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    def adapt(self, adapter: Any) -> None:
        """Train `adapter`, peft's model around ours, from now on."""
        self.adapter, self._adapters = adapter, MergedAdapters(self.model)

    def refresh(self) -> None:
        """The weights have changed: forget every copy of them. The next pass makes them anew."""
        if self._adapters is not None:
            self._adapters.merge()
        if self.head.weight.requires_grad:
            self.head.refresh()
        self.end_sampling()

    def end_sampling(self) -> None:
        """Let go of the copy of the weights that only sampling reads."""
        self._prepacked.forget()

    @contextmanager
    def on_paths(self, current: Pass) -> Iterator[None]:
        """Run the model, and a backward pass that may recompute it, with the attention of `current`."""
        with self._implementation(attention.NAME), attending(current):
            yield

    def tree_hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        """[N, d] final hidden states of N packed tokens; inside `on_paths`."""
        return self._decoder(input_ids=ids[None], position_ids=positions[None], use_cache=False)[0][0]

    def flat_hidden(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """[B, L, d] final hidden states of right-padded rows, with the model's own attention."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        mask = (positions < lengths[:, None]).long()
        with self._implementation(self._flat_implementation):
            return self._decoder(
                input_ids=ids, attention_mask=mask, position_ids=positions.expand_as(ids), use_cache=False
            )[0]

    def new_cache(self) -> Any:
        """An empty cache for `cached_hidden`: its layers are what the model's are, recurrent ones among them."""
        return DynamicCache(config=self._decoder.config)

    def cached_hidden(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """[B, L, d] for a padded batch that continues a transformers cache, for the flat sampler. No gradient."""
        with self._implementation(self._flat_implementation), self._prepacked.applied():
            return self._decoder(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )[0]

    def tree_nodes_hidden(self, tree: Tree, nodes: np.ndarray, memory: KeyValues) -> Tensor:
        """[N, d] hidden states of `nodes` (parents first), reading and extending `memory`. No gradient."""
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        plan = plan_paths(parents, depths, nodes, self.device)
        ids = torch.from_numpy(np.array(tree.tokens)[nodes]).to(self.device)
        positions = torch.from_numpy(depths[nodes]).to(self.device)
        where = torch.from_numpy(nodes).to(self.device)
        memory.needed = int(nodes.max()) + 1
        with self.on_paths(Pass(plan, memory, where)), self._prepacked.applied():
            return self.tree_hidden(ids, positions)

    def padded_hidden(self, tree: Tree, nodes: Sequence[int]) -> Tensor:
        """[N, d] hidden states of `nodes`, one padded row each: the model's own attention. No gradient."""
        rows, lengths = self._padded_rows(tree, nodes)
        return rows[torch.arange(len(nodes), device=self.device), lengths - 1]

    def _padded_rows(self, tree: Tree, nodes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """[N, L, d] hidden states of the paths to `nodes`, right-padded, and their lengths [N]."""
        paths = [tree.path(node) for node in nodes]
        ids = torch.zeros(len(paths), max(map(len, paths)), dtype=torch.long)
        for row, path in zip(ids, paths, strict=True):
            row[: len(path)] = torch.tensor([tree.tokens[n] for n in path])
        lengths = torch.tensor([len(path) for path in paths], device=self.device)
        return self.flat_hidden(ids.to(self.device), lengths), lengths

    def next_hidden(self, tree: Tree, nodes: np.ndarray, memory: KeyValues, rows: Rows) -> Tensor:
        """[R, d] hidden states of `nodes`, the i-th a child of what stands at the end of row i; extends both."""
        ids, positions = (torch.tensor([of[n] for n in nodes]).to(self.device) for of in (tree.tokens, tree.depths))
        rows.make_room()
        memory.needed = int(nodes.max()) + 1
        current = Pass(None, memory, torch.from_numpy(nodes).to(self.device), rows)
        with self.on_paths(current), self._prepacked.applied():
            hidden = self.tree_hidden(ids, positions)
        rows.grow()
        return hidden

    def gathered_rows(
        self, tree: Tree, ends: np.ndarray, memory: KeyValues, most_keys: int | None = None
    ) -> Rows | None:
        """The paths to `ends` as rows to continue; all of their nodes must be in `memory`.

        None if, with one token more each, they would hold more keys of their own than `most_keys`.
        """
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        paths = path_matrix(parents, depths, ends)
        num_shared = common_prefix(paths)
        if most_keys is not None and len(ends) * (paths.shape[1] - num_shared + 1) > most_keys:
            return None
        lengths = torch.from_numpy(depths[ends] + 1).to(self.device)
        return Rows.gathered(memory, torch.from_numpy(paths).to(self.device), lengths, num_shared)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass. transformers does so in training mode only: dropout is zeroed."""
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        enable = getattr(self.model, "activation_checkpointing_enable", None)  # 5.17 has the older name only
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        self.model.train()

    @torch.no_grad()
    def check_paths(self) -> Parity:
        """Run a small random tree both ways, and its leaves once more as the sampler decodes.

        A model that ignores our attention, or adds to it, is caught here. Sliding windows are made narrow meanwhile, so
        that they bind.
        """
        tree, leaves = _probe_tree(self.head.weight.shape[0])
        with narrow_windows(self._decoder, PROBE_WINDOW) as binds:
            parity = self._compare_paths(tree, leaves)
            narrow = self._padded_rows(tree, leaves)[0] if parity.holds and binds else None
        if narrow is not None and torch.equal(narrow, self._padded_rows(tree, leaves)[0]):
            return Parity(False, float("inf"), "its attention window cannot be made narrow, so it was not checked")
        return parity

    def _compare_paths(self, tree: Tree, leaves: Sequence[int]) -> Parity:
        memory = KeyValues()
        paths = [tree.path(leaf) for leaf in leaves]
        try:
            hidden = self.tree_nodes_hidden(tree, np.arange(len(tree)), memory)
            if not memory.keys:
                return Parity(False, float("inf"), "its attention does not go through transformers' AttentionInterface")
            rows = self.gathered_rows(tree, np.array([tree.parents[leaf] for leaf in leaves]), memory)
            assert rows is not None
            decoded = self.next_hidden(tree, np.array(leaves), memory, rows)
            flat, _ = self._padded_rows(tree, leaves)
        except Exception as error:  # any architecture may fail in its own way; the flat pass is the answer to all
            return Parity(False, float("inf"), told(error))
        errors = [relative_error(hidden[path], row[: len(path)]) for path, row in zip(paths, flat, strict=True)]
        errors += [
            relative_error(last, row[len(path) - 1]) for path, last, row in zip(paths, decoded, flat, strict=True)
        ]
        apart = torch.stack(errors).max().item()  # NaN if one is: Python's max would pass over it
        tolerance = PARITY_TOLERANCE.get(self.dtype, 5e-2)
        holds = apart <= tolerance  # False for NaN
        return Parity(holds, apart, f"relative error {apart:.1e}, {'within' if holds else 'above'} {tolerance:.0e}")

    @contextmanager
    def _implementation(self, name: str) -> Iterator[None]:
        """Choose the attention for one pass. Set on the config, which every attention layer reads when it runs."""
        config = self._decoder.config
        before = config._attn_implementation
        config._attn_implementation = name
        try:
            yield
        finally:
            config._attn_implementation = before


def relative_error(ours: Tensor, truth: Tensor) -> Tensor:
    """How far apart hidden states are, as a share of what they are."""
    return (ours - truth).float().norm() / truth.float().norm()


def told(error: Exception) -> str:
    """An exception of a model's own code in one line: some have no words."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else f"{type(error).__name__} without a message"


def _probe_tree(vocabulary: int) -> tuple[Tree, list[int]]:
    random = np.random.Generator(np.random.Philox(key=20_26))
    tree = Tree()

    def say(parent: int, count: int) -> int:
        return tree.extend(parent, (int(t) for t in random.integers(0, vocabulary, count)))

    header = say(-1, PROBE_LENGTH)
    leaves = [say(say(header, 3), 4), say(header, 2), say(-1, 5)]
    branch = say(header, 3)
    return tree, [*leaves, say(branch, 1), say(branch, 2), say(branch, 6)]
