"""From a step's tree and advantages to what the loss sees: one row of numbers for every trained token.

This is what a journal stores (store/journal.py), so an update can be run again from it alone: token ids, tree,
the sampler's log-probabilities, advantages and weights exactly as the loss takes them.

A token said alike by several samples is one row. Its positive and negative advantages are summed apart, because
clipping treats them differently; `counts` keeps how many samples it stands for.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from roles.tree import ROOT, Tree, with_ancestors
from selfplay.learn.sequences import Sequences
from selfplay.learn.supports import Supports, supports_of

MeanRule = Literal["tokens", "completions", "constant"]


@dataclass(frozen=True, slots=True)
class TrainSample:
    """One completion to train on, with its advantage; `node` is its last token.

    A kept group has a sample for each of its completions, those of advantage 0 too, since the loss is a mean over the
    tokens of all. `is_kept` False: the group teaches nothing (advantage 0), and only the KL of its label to the start
    weights reads the sample.
    """

    label: str
    node: int
    num_tokens: int
    advantage: float
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class _Totalled:
    """Label -> tokens of some samples, and how many samples."""

    tokens: Mapping[str, int]
    samples: Mapping[str, int]

    @classmethod
    def of(cls, samples: Sequence[TrainSample]) -> "_Totalled":
        tokens: dict[str, int] = {}
        for sample in samples:
            tokens[sample.label] = tokens.get(sample.label, 0) + sample.num_tokens
        return cls(tokens, Counter(sample.label for sample in samples))


@dataclass(frozen=True, slots=True)
class Mean:
    """What a label's loss is the mean over: `tokens` (DAPO); `completions`, each of which is a mean over its tokens
    (GRPO); or `constant`: completions, each a sum over its tokens divided by the `longest` of its label (Dr. GRPO)."""

    rule: MeanRule = "tokens"
    longest: Mapping[str, int] = field(default_factory=dict)  # label -> tokens, read by `constant`
    by_token: frozenset[str] = frozenset()  # labels that are a mean over tokens, whatever the rule

    def over(self, sample: TrainSample, totalled: _Totalled) -> int:
        """What each token of `sample` is divided by."""
        if self.rule == "tokens" or sample.label in self.by_token:
            return totalled.tokens[sample.label]
        per = sample.num_tokens if self.rule == "completions" else self.longest[sample.label]
        return totalled.samples[sample.label] * per


TOKENS = Mean()
NOT_SAMPLED = math.nan  # stands for the log-probability of a token that is copied and that nobody sampled
NO_KL: Mapping[str, float] = MappingProxyType({})
_COLUMNS = ("ids", "parents", "depths", "targets", "sampler_logprobs", "positive", "negative", "counts", "kl", "labels")


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """A forest of T tokens, parents first, of which M are trained. All arrays are numpy, little-endian.

    Example: a prompt of 3 tokens with completions [a, b] (advantage 1) and [a, c] (-1) has T = 6, M = 3:
    a with positive 1 and negative -1, b with 1 and 0, c with 0 and -1, each weighted 1/4 (four tokens said).
    """

    ids: np.ndarray  # [T] int64
    parents: np.ndarray  # [T] int64, index of the parent or ROOT
    depths: np.ndarray  # [T] int64
    targets: np.ndarray  # [M] int64, index of each trained token
    sampler_logprobs: np.ndarray  # [M] float64, of the distribution drawn from; NOT_SAMPLED: only copied
    positive: np.ndarray  # [M] float64, sum of positive advantages, times the label's weight / tokens
    negative: np.ndarray  # [M] float64, likewise, <= 0
    counts: np.ndarray  # [M] float64, samples that said this token, times the label's weight / tokens
    kl: np.ndarray  # [M] float64, likewise, times the label's KL coefficient / tokens of kept groups and others
    labels: np.ndarray  # [M] int64, index into label_names
    label_names: tuple[str, ...]
    flat_tokens: int  # root-to-leaf tokens of all trained samples, duplicates counted
    supports: Supports | None = None  # what was drawn from; None: the whole vocabulary for every trained token
    sequences: Sequences | None = None  # what has one advantage each; None: nothing weighs by it

    def arrays(self) -> dict[str, np.ndarray]:
        """For the journal: everything, as named arrays."""
        names = np.frombuffer("\n".join(self.label_names).encode(), dtype=np.uint8)
        return {name: getattr(self, name) for name in _COLUMNS} | {
            "label_names": names,
            "flat_tokens": np.array([self.flat_tokens], dtype=np.int64),
            **({} if self.supports is None else self.supports.arrays()),
            **({} if self.sequences is None else self.sequences.arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TrainBatch":
        """The inverse of `arrays`. Raises ValueError for arrays that no batch has: a journal may be anybody's."""
        _require(arrays, [name for name in _COLUMNS if name != "kl"] + ["label_names", "flat_tokens"])
        rest = {name: arrays[name] for name in _COLUMNS if name in arrays}
        rest.setdefault("kl", np.zeros_like(rest["counts"]))  # journals of before there was a KL by label
        names = arrays["label_names"].tobytes().decode()
        [flat_tokens] = arrays["flat_tokens"].astype(np.int64).reshape(-1)
        batch = cls(
            **rest,
            label_names=tuple(names.split("\n")) if names else (),
            flat_tokens=int(flat_tokens),
            supports=Supports.from_arrays(arrays),
            sequences=Sequences.from_arrays(arrays),
        )
        batch.require_consistent()
        return batch

    def require_consistent(self) -> None:
        """Raises ValueError unless this is a forest with trained tokens, whose columns belong together."""
        require_forest(self.ids, self.parents, self.depths)
        require_nodes(self.targets, self.parents)
        if (self.parents[self.targets] == ROOT).any():
            raise ValueError("a token without anything before it is trained")
        if self.labels.shape != self.targets.shape or not _is_within(self.labels, len(self.label_names)):
            raise ValueError("a label is not one of label_names")
        require_numbers("sampler_logprobs", self.sampler_logprobs, self.targets.shape, allows_nan=True)
        for name in ("positive", "negative", "counts", "kl"):
            require_numbers(name, getattr(self, name), self.targets.shape)
        if self.supports is not None:
            self.supports.require_consistent(self.ids[self.targets])
        if self.sequences is not None:
            self.sequences.require_consistent(self.parents, self.depths, self.targets)


def require_forest(ids: np.ndarray, parents: np.ndarray, depths: np.ndarray) -> None:
    """Raises ValueError unless each token's parent comes before it, and it is one deeper."""
    if any(column.dtype != np.int64 or column.shape != (ids.size,) for column in (ids, parents, depths)):
        raise ValueError("ids, parents and depths are not columns of one length")
    if (ids < 0).any() or (parents < ROOT).any() or (parents >= np.arange(ids.size)).any():
        raise ValueError("an id is below 0, or a parent is not before its child")
    if (depths != np.where(parents == ROOT, 0, depths[parents] + 1)).any():
        raise ValueError("a depth is not one more than the parent's")


def require_nodes(nodes: np.ndarray, parents: np.ndarray) -> None:
    """Raises ValueError unless these are different tokens of the forest, in their order."""
    if nodes.ndim != 1 or not _is_within(nodes, len(parents)) or (np.diff(nodes) <= 0).any():
        raise ValueError("the trained tokens are not distinct tokens of the forest, in order")


def require_numbers(name: str, column: np.ndarray, shape: tuple[int, ...], allows_nan: bool = False) -> None:
    """Raises ValueError unless these are finite numbers, as many as there should be."""
    is_right = column.dtype == np.float64 and column.shape == shape
    if not is_right or not (np.isfinite(column) | (np.isnan(column) & allows_nan)).all():
        raise ValueError(f"{name} is not a column of {shape} finite numbers")


def _require(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    lacking = [name for name in names if name not in arrays]
    if lacking:
        raise ValueError(f"it has no {', '.join(lacking)}")


def _is_within(column: np.ndarray, size: int) -> bool:
    return bool(column.dtype == np.int64 and ((column >= 0) & (column < size)).all())


def build_batch(
    tree: Tree,
    samples: Sequence[TrainSample],
    weights: Mapping[str, float],
    kl: Mapping[str, float] = NO_KL,
    keeps_sequences: bool = False,
    mean: Mean = TOKENS,
) -> TrainBatch:
    """Sums advantages over the tree.

    With N the tokens of a label's kept samples, and N' those of all of its samples, kept or not, a trained token t gets

        positive[t] = weight / N * sum of max(A, 0)      over the samples that have t
        negative[t] = weight / N * sum of min(A, 0)
        kl[t]       = kl / N' * number of samples that have t.

    So the loss is a plain sum over rows, and how the tree is later cut into packs does not change it. Tokens that
    neither an advantage nor a KL moves are left out. weights, kl: label -> factor; a label may be missing from `kl`.
    That is a mean over tokens; with another `mean` N is what it says for the sample that has t, kept or of all.
    keeps_sequences: the batch has `sequences` too.
    """
    kept = _Totalled.of([sample for sample in samples if sample.is_kept])
    every = _Totalled.of(samples)
    columns = _Columns()
    flat_tokens = 0
    for sample in samples:
        scale = weights[sample.label] / mean.over(sample, kept) if sample.is_kept and sample.advantage else 0.0
        pull = kl.get(sample.label, 0.0) / mean.over(sample, every)
        if scale == 0.0 and pull == 0.0:
            continue
        nodes = tree.tail(sample.node, sample.num_tokens)
        assert all(tree.labels[node] == sample.label for node in nodes), f"a token of another label than {sample.label}"
        flat_tokens += tree.depths[sample.node] + 1
        columns.add(nodes, sample.advantage, scale, pull)
        if scale and keeps_sequences:
            columns.add_sequence(sample, scale)
    return _arrays(tree, columns, flat_tokens, keeps_sequences)


@dataclass(slots=True)
class _Columns:
    """Sums by node. Every trained node is in `counts` and in `kl`, though a value may be 0.

    sequences: (last node, tokens) -> what its tokens have of `positive`, `negative` and `counts`.
    """

    positive: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)
    counts: dict[int, float] = field(default_factory=dict)
    kl: dict[int, float] = field(default_factory=dict)
    sequences: dict[tuple[int, int], tuple[float, float, float]] = field(default_factory=dict)

    def add(self, nodes: Sequence[int], advantage: float, scale: float, pull: float) -> None:
        side = self.positive if advantage > 0 else self.negative
        for node in nodes:
            side[node] = side.get(node, 0.0) + advantage * scale
            self.counts[node] = self.counts.get(node, 0.0) + scale
            self.kl[node] = self.kl.get(node, 0.0) + pull

    def add_sequence(self, sample: TrainSample, scale: float) -> None:
        key, push = (sample.node, sample.num_tokens), sample.advantage * scale
        positive, negative, count = self.sequences.get(key, (0.0, 0.0, 0.0))
        self.sequences[key] = positive + max(push, 0.0), negative + min(push, 0.0), count + scale


def _arrays(tree: Tree, columns: _Columns, flat_tokens: int, keeps_sequences: bool) -> TrainBatch:
    nodes = sorted(with_ancestors(tree.parents, columns.counts))  # a parent's id is smaller than its child's
    index = {node: i for i, node in enumerate(nodes)}
    index[ROOT] = ROOT
    targets = [node for node in nodes if node in columns.counts]
    if any(tree.parents[node] == ROOT for node in targets):
        raise ValueError("a sampled token without anything before it cannot be trained: give it a prompt")
    names = tuple(sorted({tree.labels[node] for node in targets}))

    def column(values: Mapping[int, float]) -> np.ndarray:
        return np.array([values.get(node, 0.0) for node in targets], dtype=np.float64)

    return TrainBatch(
        ids=np.array([tree.tokens[n] for n in nodes], dtype=np.int64),
        parents=np.array([index[tree.parents[n]] for n in nodes], dtype=np.int64),
        depths=np.array([tree.depths[n] for n in nodes], dtype=np.int64),
        targets=np.array([index[n] for n in targets], dtype=np.int64),
        sampler_logprobs=np.array([tree.logprobs[n] for n in targets], dtype=np.float64),
        positive=column(columns.positive),
        negative=column(columns.negative),
        counts=column(columns.counts),
        kl=column(columns.kl),
        labels=np.array([names.index(tree.labels[n]) for n in targets], dtype=np.int64),
        label_names=names,
        flat_tokens=flat_tokens,
        supports=supports_of([tree.supports.get(n) for n in targets]),
        sequences=_sequences(columns, index) if keeps_sequences else None,
    )


def _sequences(columns: _Columns, index: Mapping[int, int]) -> Sequences:
    keys = sorted(columns.sequences)
    numbers = np.array([columns.sequences[key] for key in keys], dtype=np.float64).reshape(len(keys), 3)
    return Sequences(
        np.array([index[node] for node, _ in keys], dtype=np.int64),
        np.array([length for _, length in keys], dtype=np.int64),
        *(np.ascontiguousarray(column) for column in numbers.T),
    )
