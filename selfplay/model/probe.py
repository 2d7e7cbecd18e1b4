"""Checks at start that a model says the same in our ways of running it as it says of plain rows by itself.

A model is proved by its own arithmetic: in fp32, with weights that let a fault show (selfplay/model/precision.py) and
borders so narrow that short rows cross them (selfplay/model/attention/windows.py). What holds there holds in bf16 up to
bf16's own rounding, which alone can send a token to another expert.

Hidden states and gradients are compared: on the tree, and as the sampler decodes there; else in padded rows, which must
at least be right: a recurrent state, for one, takes in the padding before a row unless the model's code masks it, and a
cache that the code does not know is an empty one at every token.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roles.tree import Tree
from selfplay.machine.errors import ModelError
from selfplay.model.attention.interface import KeyValues, Pass
from selfplay.model.attention.plan import plan_paths
from selfplay.model.attention.windows import narrow_lengths, narrow_windows
from selfplay.model.head import ANOTHER
from selfplay.model.padding import left_padded
from selfplay.model.policy import Policy, told
from selfplay.model.precision import sharp_fp32

TOLERANCE = 1e-4  # of a token's hidden state or logits in fp32, as a share of it; honest passes are within 1e-5
GRADIENT_TOLERANCE = 1e-3  # of a parameter's gradient, as a share of it
NEGLIGIBLE = 1e-5  # of the largest gradient: below it a gradient is rounding (a key's bias has none)
BORDER = 5  # that windows and lengths are narrowed to
_LENGTHS = (12, 6, 19)  # of prompts
_DECODED = 3  # tokens behind each, by the cache

States = Callable[[], AbstractContextManager[Tensor]]  # hidden states; a backward pass is run inside


@dataclass(frozen=True, slots=True)
class Parity:
    """Outcome of the check at start: may this model run on trees, and how far apart were the two ways."""

    holds: bool
    relative_error: float
    reason: str


def prove(policy: Policy, wants_tree: bool = True) -> Parity:
    """How this model can be run. Raises ModelError where it can be run neither on trees nor as padded rows."""
    check_logits(policy)
    parity = check_paths(policy) if wants_tree else Parity(False, 0.0, "train.pass_mode=flat")
    if not parity.holds:
        check_padded(policy)
    return parity


def check_logits(policy: Policy) -> None:
    """Raises ModelError where the model does not make its logits as selfplay/model/head.py does."""
    [row] = _rows(policy, _LENGTHS[:1])
    ids = _ids(policy, row)
    with _sharp(policy), torch.no_grad():
        try:
            ours, truth = policy.head.logits(policy.plain_hidden(ids)[0]), policy.plain_logits(ids)[0]
            apart = relative_error(ours, truth)
        except Exception as error:  # any architecture may fail in its own way
            raise ModelError(f"{_name(policy)} cannot be run ({told(error)}): {ANOTHER}") from error
    if not apart <= TOLERANCE:  # so for NaN
        raise ModelError(
            f"{_name(policy)} makes its logits in a way that is not supported (they are off by {apart:.1e}): {ANOTHER}"
        )


def check_paths(policy: Policy) -> Parity:
    """Run a small random tree and plain rows, and its leaves once more as the sampler decodes.

    A model that ignores our attention, or adds to it, is caught here.
    """
    try:
        with _sharp(policy):
            parity = _compare_paths(policy)
        reason = _compare_gradients(policy, *_tree_gradient_rows(policy)) if parity.holds else None
    except Exception as error:  # any architecture may fail in its own way; the padded pass is the answer to all
        return Parity(False, float("inf"), told(error))
    return parity if reason is None else Parity(False, parity.relative_error, reason)


def check_padded(policy: Policy) -> None:
    """Compare the padded sampler and the padded pass with plain rows. Raises ModelError where they differ."""
    rows = _rows(policy, _LENGTHS)
    few = [row[: 3 + i] for i, row in enumerate(rows)]
    try:
        with _sharp(policy), narrow_windows(policy.decoder, BORDER):
            reason = _compare_padded(policy, rows)
        if reason is None:
            reason = _compare_gradients(
                policy, few, lambda: nullcontext(torch.cat([each[:-1] for each in _trained(policy, few)]))
            )
    except Exception as error:  # any architecture may fail in its own way
        reason = told(error)
    if reason is not None:
        raise ModelError(f"{_name(policy)} runs neither on the token tree nor as a padded batch ({reason}): {ANOTHER}")


@torch.no_grad()
def longest_context(policy: Policy) -> int | None:
    """The most tokens that a context may have, where longer ones turn the positions of all their tokens otherwise.

    Then a token's hidden state depends on what comes after it, which neither a tree nor a cache can give.
    """
    [row] = _rows(policy, (2 * BORDER,))
    with narrow_windows(policy.decoder, 4 * BORDER), narrow_lengths(policy.decoder, BORDER) as lengths:
        if not lengths:
            return None
        try:
            with _sharp(policy):
                short, long = (_alone(policy, ids) for ids in (row[:BORDER], row))
            holds = relative_error(long[:BORDER], short) <= TOLERANCE
        except Exception:  # it does not go beyond
            holds = False
    return None if holds else min(lengths)


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """How far apart [..., d] are, as a share of what they are: of the worst token. NaN if one is."""
    return ((ours - truth).float().norm(dim=-1) / truth.float().norm(dim=-1)).max().item()


@torch.no_grad()
def _compare_paths(policy: Policy) -> Parity:
    tree, leaves = _probe_tree(policy)
    rows = _said(tree, leaves)
    with narrow_windows(policy.decoder, BORDER) as binds:
        truth = [_alone(policy, row) for row in rows]
        errors = _path_errors(policy, tree, leaves, truth)
    if errors is None:
        return Parity(False, float("inf"), "its attention does not go through transformers' AttentionInterface")
    apart = torch.tensor(errors).max().item()  # NaN if one is: Python's max would pass over it
    if not apart <= TOLERANCE:
        return Parity(False, apart, f"relative error {apart:.1e}, above {TOLERANCE:.0e}")
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    if binds and torch.equal(truth[longest], _alone(policy, rows[longest])):
        return Parity(False, float("inf"), "its attention window cannot be made narrow, so it was not checked")
    return Parity(True, apart, f"relative error {apart:.1e}, within {TOLERANCE:.0e}")


def _path_errors(policy: Policy, tree: Tree, leaves: Sequence[int], truth: Sequence[Tensor]) -> list[float] | None:
    """Of every path in a pass over the tree and of every leaf decoded; None of attention that is not ours."""
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
    """What is wrong, or None."""
    plain = [_alone(policy, row) for row in rows]
    errors = [relative_error(ours, truth) for ours, truth in zip(_trained(policy, rows), plain, strict=True)]
    errors += [
        relative_error(ours, truth[-_DECODED - 1 :]) for ours, truth in zip(_sampled(policy, rows), plain, strict=True)
    ]
    apart = torch.tensor(errors).max().item()
    return None if apart <= TOLERANCE else f"a padded row's hidden states are off by {apart:.1e}"


def _compare_gradients(policy: Policy, rows: list[list[int]], hidden: States) -> str | None:
    """Whether the rows' log-probabilities have the gradient that they have in plain rows, where `hidden` gives the
    states of all tokens but each row's last. What is wrong, or None.

    Where the model cannot be all in fp32 at once, only that each parameter has a gradient, or has none.
    """
    if not policy.trainable:
        return None
    is_wide = _is_wide(policy)
    with torch.enable_grad(), _sharp(policy) if is_wide else nullcontext():
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
    """By each trained parameter; the log-probabilities weigh unlike, so that faults do not cancel."""
    weights = torch.linspace(0.5, 1.5, len(logprobs), device=policy.device)
    return torch.autograd.grad(weights @ logprobs, [p for _, p in policy.trainable], allow_unused=True)


def _plain_logprobs(policy: Policy, rows: list[list[int]]) -> Tensor:
    """Of all tokens but each row's first. Rows that are all as long run at once, which saves a backward pass."""
    if len({len(row) for row in rows}) > 1:
        return torch.cat([_plain_logprobs(policy, [row]) for row in rows])
    ids = torch.tensor(rows, device=policy.device)
    every = policy.plain_logits(ids)[:, :-1].float().log_softmax(-1)
    return every.gather(2, ids[:, 1:, None]).flatten()


def _size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else gradient.float().norm().item()


def _tree_gradient_rows(policy: Policy) -> tuple[list[list[int]], States]:
    """Rows of a smaller tree, and what makes their states there: a backward pass is most of what a check costs."""
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

    return _said(tree, leaves), hidden


@contextmanager
def _sharp(policy: Policy) -> Iterator[None]:
    """In fp32, and nothing is left of it in what the policy keeps."""
    policy.forget_copies()
    try:
        with sharp_fp32(policy.model, by_layer=not _is_wide(policy)):
            yield
    finally:
        policy.forget_copies()


def _is_wide(policy: Policy) -> bool:
    """Whether all of the model is in fp32 at once: where most of it is trained its masters and moments take more."""
    trained = sum(parameter.numel() for _, parameter in policy.trainable)
    return not policy.is_merged and 4 * trained >= sum(parameter.numel() for parameter in policy.model.parameters())


def _probe_tree(policy: Policy) -> tuple[Tree, list[int]]:
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
    random = _random_tokens(policy)
    return [random(length + _DECODED) for length in lengths]


def _random_tokens(policy: Policy) -> Callable[[int], list[int]]:
    random = np.random.Generator(np.random.Philox(key=20_26))
    vocabulary = policy.head.weight.shape[0]
    return lambda count: [int(token) for token in random.integers(0, vocabulary, count)]


def _said(tree: Tree, leaves: Sequence[int]) -> list[list[int]]:
    return [[tree.tokens[node] for node in tree.path(leaf)] for leaf in leaves]


def _ids(policy: Policy, row: Sequence[int]) -> Tensor:
    return torch.tensor([row], device=policy.device)


def _alone(policy: Policy, row: Sequence[int]) -> Tensor:
    """[L, d] hidden states of one row, without padding or cache."""
    return policy.plain_hidden(_ids(policy, row))[0]


def _trained(policy: Policy, rows: list[list[int]]) -> list[Tensor]:
    """[L, d] hidden states of each row, in the right-padded batch of the trainer."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(policy.device)
    hidden = policy.flat_hidden(ids, torch.tensor([len(row) for row in rows], device=policy.device))
    return [each[: len(row)] for each, row in zip(hidden, rows, strict=True)]


def _sampled(policy: Policy, rows: list[list[int]]) -> list[Tensor]:
    """[_DECODED + 1, d] hidden states of each prompt's end and of the tokens behind it, as the sampler makes them."""
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
