"""The policy: one module that samples and trains, run on token trees or on padded rows.

The module's parameters are in the served precision (bf16 by default); the trainer keeps fp32 masters of them and
copies them back after each update (selfplay/train/trainer.py). Everything here gives hidden states, from the decoder
alone; logits are made in chunks by selfplay/model/head.py, so the whole [tokens, vocabulary] matrix never exists.

    tree_hidden         N packed tokens of a tree, with our attention          training; the two below call it
    tree_nodes_hidden   nodes of a `Tree`, with keys and values remembered     sampling: prompts
    next_hidden         one token more behind each of R rows                   sampling: decoding
    rows_hidden         the same where all is on the device, in fixed shapes   sampling: decoding with CUDA graphs
    flat_hidden         right-padded rows, with the model's own attention      training where that is cheaper
    cached_hidden       left-padded rows, with transformers' cache             the flat sampler
    plain_hidden        rows of one length, as the model runs by itself        what all others are compared with

Whether a model can run on trees is found out at start (selfplay/model/probe.py).
In shapes, N is tokens, B and R are rows, L the length of the longest, d the width of a hidden state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from curriculum.error_lines import described
from roles.tree import Tree
from selfplay.machine.errors import ModelError
from selfplay.model.adapters import DEFAULT, MergedAdapters
from selfplay.model.attention import interface
from selfplay.model.attention.choosing import Kernels
from selfplay.model.attention.interface import KeyValues, Pass, Places, Rows, attending
from selfplay.model.attention.plan import common_prefix, path_matrix, plan_paths
from selfplay.model.head import ANOTHER, Head, possible_scales
from selfplay.model.norms import fuse_norms
from selfplay.model.prepacked import PrepackedLinears

_SCALE_ROW = 8  # tokens that the scale of the logits is read off


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
        self.kernels = Kernels()  # of its attention on trees, beside the padded one: those that are proved here
        self.adapter: Any = None  # the peft model around `model`, when adapters are trained
        self._adapters: MergedAdapters | None = None
        self.head = Head(model)
        self._decoder: Any = _decoder_of(model)
        self._find_scale()
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

    @property
    def active_adapter(self) -> str:
        """The name of the adapter that everything runs with at present."""
        return DEFAULT if self._adapters is None else self._adapters.active

    @contextmanager
    def activated(self, adapter: str) -> Iterator[None]:
        """Inside, everything runs with the adapter of this name. A policy without adapters runs as it always does."""
        before = self.active_adapter
        self._activate(adapter)
        try:
            yield
        finally:
            self._activate(before)

    def _activate(self, adapter: str) -> None:
        if self._adapters is not None and adapter != self._adapters.active:
            self._adapters.activate(adapter)
            self.end_sampling()

    def unadapted(self, layer: Any) -> Tensor:
        """The weight of a layer that peft has put an adapter on, without the adapter."""
        plain = None if self._adapters is None else self._adapters.plain(layer)
        weight: Tensor = layer.base_layer.weight
        return weight.detach() if plain is None else plain

    def refresh(self) -> None:
        """Call it when the weights have changed: forgets every copy of them. The next pass makes them anew."""
        if self._adapters is not None:
            self._adapters.merge()
        if self.head.weight.requires_grad:
            self.head.refresh()
        self.end_sampling()

    def end_sampling(self) -> None:
        """Frees the copy of the weights that only sampling reads."""
        self._prepacked.forget()

    def forget_copies(self) -> None:
        """Frees every copy of the weights in another precision or layout, and the head's memory."""
        self.head.refresh()
        self.head.release()
        self.end_sampling()

    @property
    def decoder(self) -> Any:
        """The model without its head, which makes the hidden states."""
        return self._decoder

    @property
    def is_merged(self) -> bool:
        """Whether adapters are merged into the weights: their backward pass is in the served precision."""
        return self._adapters is not None

    @contextmanager
    def on_paths(self, current: Pass) -> Iterator[None]:
        """Inside, the model and a backward pass that may recompute it run with the attention of `current`."""
        with self._implementation(interface.NAME), attending(current):
            yield

    def tree_hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        """[N, d] final hidden states of N packed tokens: ids [N], positions [N], which are depths. Inside
        `on_paths`."""
        return self._decoder(input_ids=ids[None], position_ids=positions[None], use_cache=False)[0][0]

    def flat_hidden(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """[B, L, d] final hidden states of right-padded rows of ids [B, L], lengths [B], with the model's own
        attention."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        mask = (positions < lengths[:, None]).long()
        with self._implementation(self._flat_implementation):
            return self._decoder(
                input_ids=ids, attention_mask=mask, position_ids=positions.expand_as(ids), use_cache=False
            )[0]

    def plain_hidden(self, ids: Tensor) -> Tensor:
        """[B, L, d] final hidden states of ids [B, L], rows of one length, as the model runs them by itself."""
        return self._decoder(input_ids=ids, use_cache=False)[0]

    def plain_logits(self, ids: Tensor) -> Tensor:
        """[B, L, V] the model's own logits of ids [B, L]."""
        return self.model(input_ids=ids, use_cache=False).logits

    def new_cache(self) -> Any:
        """An empty cache for `cached_hidden`, with a layer of the right kind for each of the model's, recurrent or
        not."""
        return DynamicCache(config=self._decoder.config)

    def cached_hidden(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """[B, L, d] final hidden states of ids [B, L] behind what `cache` holds, which takes them in. No gradient.

        mask: [B, all tokens so far], 0 for padding; positions: [B, L].
        """
        with self._implementation(self._flat_implementation), self._prepacked.applied(), self._remembering():
            return self._decoder(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )[0]

    def tree_nodes_hidden(self, tree: Tree, nodes: np.ndarray, memory: KeyValues) -> Tensor:
        """[N, d] final hidden states of `nodes` [N], parents first. No gradient.

        Keys and values of ancestors that are not among `nodes` are read from `memory`; those of `nodes` are put there.
        """
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        plan = plan_paths(parents, depths, nodes, self.device)
        ids = torch.from_numpy(np.array(tree.tokens)[nodes]).to(self.device)
        positions = torch.from_numpy(depths[nodes]).to(self.device)
        current = Pass(plan, memory, Places.of(nodes, self.device), kernels=self.kernels)
        with self.on_paths(current), self._prepacked.applied():
            return self.tree_hidden(ids, positions)

    def padded_hidden(self, tree: Tree, nodes: Sequence[int]) -> Tensor:
        """[N, d] final hidden states of `nodes`, each run as the last token of a padded row of its path."""
        rows, lengths = self._padded_rows(tree, nodes)
        return rows[torch.arange(len(nodes), device=self.device), lengths - 1]

    def _padded_rows(self, tree: Tree, nodes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Final hidden states [N, L, d] of the paths to `nodes`, right-padded, and their lengths [N]."""
        paths = [tree.path(node) for node in nodes]
        ids = torch.zeros(len(paths), max(map(len, paths)), dtype=torch.long)
        for row, path in zip(ids, paths, strict=True):
            row[: len(path)] = torch.tensor([tree.tokens[n] for n in path])
        lengths = torch.tensor([len(path) for path in paths], device=self.device)
        return self.flat_hidden(ids.to(self.device), lengths), lengths

    def next_hidden(self, tree: Tree, nodes: np.ndarray, memory: KeyValues, rows: Rows) -> Tensor:
        """[R, d] final hidden states of `nodes` [R], the i-th a child of the node at the end of row i. No gradient.

        Their keys and values are put into `memory` and at the ends of `rows`.
        """
        ids, positions = (torch.tensor([of[n] for n in nodes]).to(self.device) for of in (tree.tokens, tree.depths))
        current = Pass(None, memory, Places.of(nodes, self.device), rows)
        with self.on_paths(current), self._prepacked.applied():
            return self.tree_hidden(ids, positions)

    def rows_hidden(self, ids: Tensor, positions: Tensor, rows: Rows) -> Tensor:
        """[R, d] final hidden states of one token more behind each row: ids [R], positions [R]. No gradient.

        Their keys and values are put at the ends of `rows` and nowhere else. Reads nothing back from a GPU.
        """
        with self.on_paths(Pass(None, rows=rows)), self._prepacked.applied(), self._remembering():
            return self.tree_hidden(ids, positions)

    def gathered_rows(
        self, tree: Tree, ends: np.ndarray, memory: KeyValues, fits: Callable[[int, int], bool] | None = None
    ) -> Rows | None:
        """The paths to the nodes `ends` [R] as rows for `next_hidden`; all nodes on them must be in `memory`.

        None unless so many rows, the longest of so many keys, `fits`; shared keys are not counted.
        """
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        paths = path_matrix(parents, depths, ends)
        num_shared = common_prefix(paths)
        if fits is not None and not fits(len(ends), paths.shape[1] - num_shared):
            return None
        lengths = torch.from_numpy(depths[ends] + 1).to(self.device)
        return Rows.gathered(memory, torch.from_numpy(paths).to(self.device), lengths, num_shared)

    def enable_gradient_checkpointing(self) -> None:
        """Has activations recomputed in the backward pass. transformers does so in training mode only, so dropout is
        set to 0."""
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            for name, value in list(vars(module).items()):
                if "drop" in name and isinstance(value, float):  # OPT's layers have no module for it
                    setattr(module, name, 0.0)
        enable = getattr(self.model, "activation_checkpointing_enable", None)  # 5.17 has the older name only
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        self.model.train()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode: in training mode, layers that recompute activations take no cache,
        and read the state of the device's random numbers, which a CUDA graph must not."""
        was_training = self.model.training
        if was_training:
            self.model.eval()
        try:
            yield
        finally:
            if was_training:
                self.model.train()

    @torch.no_grad()
    def _find_scale(self) -> None:
        scales = possible_scales(self._decoder.config)
        if len(scales) == 1:
            return
        ids = torch.arange(_SCALE_ROW, device=self.device)[None] % self.head.weight.shape[0]
        try:
            self.head.find_scale(scales, self.plain_hidden(ids)[0], self.plain_logits(ids)[0])
        except Exception as error:  # any architecture may fail in its own way
            raise ModelError(f"{type(self.model).__name__} cannot be run ({described(error)}): {ANOTHER}") from error

    @contextmanager
    def _implementation(self, name: str) -> Iterator[None]:
        """Inside, the model runs with the attention function `name`: every attention layer reads it from the config."""
        config = self._decoder.config
        before = config._attn_implementation
        config._attn_implementation = name
        try:
            yield
        finally:
            config._attn_implementation = before


def _decoder_of(model: Any) -> Any:
    """The module that makes hidden states: not every family's `base_model` is one."""
    for found in (model.base_model, getattr(model, "model", None), model.get_decoder()):
        if isinstance(found, nn.Module) and found is not model:
            return found
    raise ModelError(f"{type(model).__name__} has no decoder apart from its head, which is not supported: {ANOTHER}")
