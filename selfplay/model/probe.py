"""Checks at start that our ways of running a model give what the model gives by itself.

By itself means row by row, without padding, cache or tree (`Policy.plain_hidden`, `plain_logits`). What is compared
with that, and what a difference leads to:

    logits        those of selfplay/model/head.py                                        the model is refused
    the tree      hidden states of a pass over a tree, hidden states of decoding         the model runs in padded rows
                  on rows, gradients of a smaller tree
    padded rows   hidden states of the flat pass and of the flat sampler, gradients      the model is refused
                  (checked where the tree is not used)

The comparison is in fp32, with weights that let a fault show (selfplay/model/precision.py) and with borders so narrow
that short rows cross them (selfplay/model/attention/windows.py). What agrees there agrees in bf16 up to bf16's
rounding, which can send a token to another expert.

Padded rows can be wrong too: a recurrent state takes in the padding before a row unless the model's code masks it, and
a model whose code does not use the cache sees no context while it decodes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from curriculum.error_lines import described
from roles.tree import Tree
from selfplay.machine.errors import ModelError
from selfplay.model.attention.interface import KeyValues, Pass
from selfplay.model.attention.plan import plan_paths
from selfplay.model.attention.windows import narrow_lengths, narrow_windows
from selfplay.model.head import ANOTHER
from selfplay.model.padding import left_padded
from selfplay.model.policy import Policy
from selfplay.model.precision import sharp_fp32

TOLERANCE = 1e-4  # of `relative_error` of hidden states or logits in fp32; correct passes are within 1e-5
GRADIENT_TOLERANCE = 1e-3  # of the difference's norm over the gradient's, for each parameter
NEGLIGIBLE = 1e-5  # share of the largest gradient's norm, below which a gradient is rounding (a key bias has none)
BORDER = 5  # that windows and lengths are narrowed to
_OVER_KEYS = {"attention", "full_attention", "sliding_attention", "moe", "mlp", "sparse", "dense"}  # kinds of layers
_LENGTHS = (12, 6, 19)  # tokens of the prompts
_DECODED = 3  # tokens that are decoded behind each

States = Callable[[], AbstractContextManager[Tensor]]  # gives hidden states [M, d]; a backward pass runs inside


@dataclass(frozen=True, slots=True)
class Parity:
    """Whether a model may run on trees, the largest `relative_error` of its tree pass, and why."""

    holds: bool
    relative_error: float
    reason: str


def prove(policy: Policy, wants_tree: bool = True) -> Parity:
    """Whether the model can be run on trees. Raises ModelError where it can be run neither so nor as padded rows."""
    check_logits(policy)
    parity = check_paths(policy) if wants_tree else Parity(False, 0.0, "train.pass_mode=flat")
    if not parity.holds:
        check_padded(policy)
    return parity


def check_logits(policy: Policy) -> None:
    """Raises ModelError where the model does not make its logits as selfplay/model/head.py does."""
    [row] = _rows(policy, _LENGTHS[:1])
    ids = _ids(policy, row)
    with sharp(policy), torch.no_grad():
        try:
            ours, truth = policy.head.logits(policy.plain_hidden(ids)[0]), policy.plain_logits(ids)[0]
            apart = relative_error(ours, truth)
        except Exception as error:  # any architecture may fail in its own way
            raise ModelError(f"{_name(policy)} cannot be run ({described(error)}): {ANOTHER}") from error
    if not apart <= TOLERANCE:  # so for NaN
        raise ModelError(
            f"{_name(policy)} makes its logits in a way that is not supported (they are off by {apart:.1e}): {ANOTHER}"
        )


def check_paths(policy: Policy) -> Parity:
    """Compares a pass over a small random tree with plain rows, and so its leaves as the sampler decodes them.

    A model that does not call our attention function, or does more than that function, does not hold.
    """
    try:
        with sharp(policy):
            parity = _compare_tree(policy)
        reason = _compare_gradients(policy, *_tree_gradient_rows(policy)) if parity.holds else None
    except Exception as error:  # any architecture may fail in its own way; the padded pass is the answer to all
        return Parity(False, float("inf"), f"its code does not run on a tree ({described(error)})")
    return parity if reason is None else Parity(False, parity.relative_error, reason)


def check_padded(policy: Policy) -> None:
    """Compares the flat pass and the flat sampler with plain rows. Raises ModelError where they differ."""
    rows = _rows(policy, _LENGTHS)
    few = [row[: 3 + i] for i, row in enumerate(rows)]
    try:
        with sharp(policy), narrow_windows(policy.decoder, BORDER):
            reason = _compare_padded(policy, rows)
        if reason is None:
            reason = _compare_gradients(
                policy, few, lambda: nullcontext(torch.cat([each[:-1] for each in _flat_states(policy, few)]))
            )
    except Exception as error:  # any architecture may fail in its own way
        reason = described(error)
    if reason is not None:
        raise ModelError(f"{_name(policy)} runs neither on the token tree nor as a padded batch ({reason}): {ANOTHER}")


@torch.no_grad()
def longest_context(policy: Policy) -> int | None:
    """The most tokens that a context may have, for a model that rotates all positions of a longer one otherwise; else
    None.

    In such a model a token's hidden state depends on how many tokens come after it, which neither a tree nor a cache
    can give. Found by comparing the beginning of a row that crosses narrowed lengths with the same tokens alone.
    """
    [row] = _rows(policy, (2 * BORDER,))
    with narrow_windows(policy.decoder, 4 * BORDER), narrow_lengths(policy.decoder, BORDER) as lengths:
        if not lengths:
            return None
        try:
            with sharp(policy):
                short, long = (_plain_states(policy, ids) for ids in (row[:BORDER], row))
            holds = relative_error(long[:BORDER], short) <= TOLERANCE
        except Exception:  # it does not go beyond
            holds = False
    return None if holds else min(lengths)


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """max over tokens of |ours - truth| / |truth|, norms over the last dimension of [..., d]. NaN if one is NaN."""
    return ((ours - truth).float().norm(dim=-1) / truth.float().norm(dim=-1)).max().item()


@torch.no_grad()
def _compare_tree(policy: Policy) -> Parity:
    tree, leaves = probe_tree(policy)
    rows = _paths(tree, leaves)
    with narrow_windows(policy.decoder, BORDER) as binds:
        truth = [_plain_states(policy, row) for row in rows]
        errors = _path_errors(policy, tree, leaves, truth)
    if errors is None:
        return Parity(False, float("inf"), "its attention does not go through transformers' AttentionInterface")
    apart = torch.tensor(errors).max().item()  # NaN if one is: Python's max would pass over it
    if not apart <= TOLERANCE:
        return Parity(False, apart, f"relative error {apart:.1e}, above {TOLERANCE:.0e}{_odd_layers(policy)}")
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    if binds and torch.equal(truth[longest], _plain_states(policy, rows[longest])):
        return Parity(False, float("inf"), "its attention window cannot be made narrow, so it was not checked")
    return Parity(True, apart, f"relative error {apart:.1e}, within {TOLERANCE:.0e}")


def _odd_layers(policy: Policy) -> str:
    """Names the kinds of layers that are no attention over single keys, such as recurrent ones: a tree would have to
    fork their state."""
    config = policy.decoder.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or []
    odd = sorted({str(kind) for kind in kinds} - _OVER_KEYS)
    return f"; its layers of kind {', '.join(odd)} cannot run on a tree" if odd else ""


def _path_errors(policy: Policy, tree: Tree, leaves: Sequence[int], truth: Sequence[Tensor]) -> list[float] | None:
    """`relative_error` of each leaf's path in one pass over the tree, then of each leaf decoded as a row's next token.

    truth: [L, d] for each leaf, the hidden states of its path as a plain row. None if the model did not call our
    attention, which then has stored no keys.
    """
    memory = KeyValues()
    hidden = policy.tree_nodes_hidden(tree, np.arange(len(tree)), memory)
    if not memory.keys:
        return None
    rows = policy.gathered_rows(tree, np.array([tree.parents[leaf] for leaf in leaves]), memory)
    assert rows is not None
    decoded = policy.next_hidden(tree, np.array(leaves), memory, rows)
    errors = [relative_error(hidden[tree.path(leaf)], row) for leaf, row in zip(leaves, truth, strict=True)]
    return errors + [relative_error(last, row[-1]) for last, row in zip(decoded, truth, strict=True)]


@torch.no_grad()
def _compare_padded(policy: Policy, rows: list[list[int]]) -> str | None:
    """What is wrong with the hidden states of the flat pass and the flat sampler, or None."""
    plain = [_plain_states(policy, row) for row in rows]
    errors = [relative_error(ours, truth) for ours, truth in zip(_flat_states(policy, rows), plain, strict=True)]
    errors += [
        relative_error(ours, truth[-_DECODED - 1 :])
        for ours, truth in zip(_decoded_states(policy, rows), plain, strict=True)
    ]
    apart = torch.tensor(errors).max().item()
    return None if apart <= TOLERANCE else f"a padded row's hidden states are off by {apart:.1e}"


def _compare_gradients(policy: Policy, rows: list[list[int]], hidden: States) -> str | None:
    """What is wrong with the gradients of the rows' log-probabilities by the trained parameters, or None.

    `hidden` gives the states [M, d] of all tokens but each row's last, row after row, by the way that is checked. Where
    the model is too large to be in fp32 as a whole, it is only compared which parameters have a gradient.
    """
    if not policy.trainable:
        return None
    is_wide = _is_wide(policy)
    with torch.enable_grad(), sharp(policy) if is_wide else nullcontext():
        truth = _gradients(policy, _plain_logprobs(policy, rows))
        targets = torch.tensor([token for row in rows for token in row[1:]], device=policy.device)
        with hidden() as states:
            ours = _gradients(policy, policy.head.logprobs(states, targets, None, len(targets)))
    floor = NEGLIGIBLE * max(_size(gradient) for gradient in truth)
    for (name, _), mine, theirs in zip(policy.trainable, ours, truth, strict=True):
        found, size = _size(mine), _size(theirs)
        if max(found, size) <= floor:
            continue
        if mine is None or theirs is None or found == 0.0 or size == 0.0:
            return f"{name} gets {'no' if found == 0.0 else 'a'} gradient, in plain rows {'one' if size else 'none'}"
        apart = (mine.float() - theirs.float()).norm().item()
        if is_wide and not apart <= max(GRADIENT_TOLERANCE * size, floor):
            return f"the gradient of {name} is off by {apart / size:.1e}"
    return None


def _gradients(policy: Policy, logprobs: Tensor) -> Sequence[Tensor | None]:
    """Gradient by each trained parameter of a sum of logprobs [M], whose weights differ so that faults do not
    cancel."""
    weights = torch.linspace(0.5, 1.5, len(logprobs), device=policy.device)
    return torch.autograd.grad(weights @ logprobs, [p for _, p in policy.trainable], allow_unused=True)


def _plain_logprobs(policy: Policy, rows: list[list[int]]) -> Tensor:
    """[M] log-probabilities of all tokens but each row's first. Rows of one length run at once, which saves time."""
    if len({len(row) for row in rows}) > 1:
        return torch.cat([_plain_logprobs(policy, [row]) for row in rows])
    ids = torch.tensor(rows, device=policy.device)
    every = policy.plain_logits(ids)[:, :-1].float().log_softmax(-1)
    return every.gather(2, ids[:, 1:, None]).flatten()


def _size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else gradient.float().norm().item()


def _tree_gradient_rows(policy: Policy) -> tuple[list[list[int]], States]:
    """Rows of a small tree, and what gives their states by a pass over it. Small, as the backward pass costs most."""
    tree, random = Tree(), _random_tokens(policy)
    header = tree.extend(-1, random(4))
    leaves = [tree.extend(header, random(3)) for _ in range(2)]
    sources = [node for leaf in leaves for node in tree.path(leaf)[:-1]]

    @contextmanager
    def hidden() -> Iterator[Tensor]:
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        current = Pass(plan_paths(parents, depths, np.arange(len(tree)), policy.device))
        ids, positions = (torch.tensor([*of]).to(policy.device) for of in (tree.tokens, tree.depths))
        with policy.on_paths(current):
            yield policy.tree_hidden(ids, positions)[sources]

    return _paths(tree, leaves), hidden


@contextmanager
def sharp(policy: Policy) -> Iterator[None]:
    """Inside, the model is in fp32 with enlarged weights. Copies that the policy keeps of its weights are dropped
    before and after."""
    policy.forget_copies()
    try:
        with sharp_fp32(policy.model, by_layer=not _is_wide(policy)):
            yield
    finally:
        policy.forget_copies()


def _is_wide(policy: Policy) -> bool:
    """Whether the whole model is in fp32 at once: if at least a quarter of it is trained, the trainer takes more memory
    than that anyway."""
    trained = sum(parameter.numel() for _, parameter in policy.trainable)
    return not policy.is_merged and 4 * trained >= sum(parameter.numel() for parameter in policy.model.parameters())


def probe_tree(policy: Policy) -> tuple[Tree, list[int]]:
    """A tree of random tokens with branches at several depths, and its leaves."""
    tree, random = Tree(), _random_tokens(policy)
    header = tree.extend(-1, random(_LENGTHS[0]))  # what most of the paths share
    leaves = [
        tree.extend(tree.extend(header, random(3)), random(4)),
        tree.extend(header, random(2)),
        tree.extend(-1, random(5)),
    ]
    branch = tree.extend(header, random(3))
    return tree, [*leaves, *(tree.extend(branch, random(count)) for count in (1, 2, 6))]


def _rows(policy: Policy, lengths: Sequence[int]) -> list[list[int]]:
    """Random tokens: prompts of these lengths, each with _DECODED tokens behind it."""
    random = _random_tokens(policy)
    return [random(length + _DECODED) for length in lengths]


def _random_tokens(policy: Policy) -> Callable[[int], list[int]]:
    random = np.random.Generator(np.random.Philox(key=20_26))
    vocabulary = policy.head.weight.shape[0]
    return lambda count: [int(token) for token in random.integers(0, vocabulary, count)]


def _paths(tree: Tree, leaves: Sequence[int]) -> list[list[int]]:
    return [[tree.tokens[node] for node in tree.path(leaf)] for leaf in leaves]


def _ids(policy: Policy, row: Sequence[int]) -> Tensor:
    return torch.tensor([row], device=policy.device)


def _plain_states(policy: Policy, row: Sequence[int]) -> Tensor:
    """[L, d] final hidden states of one row by itself: the truth of every comparison."""
    return policy.plain_hidden(_ids(policy, row))[0]


def _flat_states(policy: Policy, rows: list[list[int]]) -> list[Tensor]:
    """[L, d] final hidden states of each row, as the trainer's flat pass makes them, right-padded."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(policy.device)
    hidden = policy.flat_hidden(ids, torch.tensor([len(row) for row in rows], device=policy.device))
    return [each[: len(row)] for each, row in zip(hidden, rows, strict=True)]


def _decoded_states(policy: Policy, rows: list[list[int]]) -> list[Tensor]:
    """[_DECODED + 1, d] final hidden states of each prompt's last token and of the tokens behind it, as the flat
    sampler makes them, left-padded and by the cache."""
    ids, seen = left_padded([row[:-_DECODED] for row in rows], policy.device)
    cache, found = policy.new_cache(), []
    for step in range(_DECODED + 1):
        positions = (seen.cumsum(-1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
        found.append(policy.cached_hidden(ids, seen, positions, cache)[:, -1])
        if step < _DECODED:
            ids = torch.tensor([[row[step - _DECODED]] for row in rows], device=policy.device)
            seen = torch.cat([seen, torch.ones_like(ids)], dim=1)
    return list(torch.stack(found, 1))


def _name(policy: Policy) -> str:
    return type(policy.model).__name__
