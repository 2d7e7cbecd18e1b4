"""Checks at start that a model says the same in our ways of running it as in its own. Beside `Policy.check_paths`.

What the padded pass is the fallback for must at least be right there: a recurrent state, for one, takes in the padding
before a row unless the model's code masks it, and a cache that the code does not know is an empty one at every token.
"""

import numpy as np
import torch
from torch import Tensor

from selfplay.engine.flat_engine import left_padded
from selfplay.models import ModelError
from selfplay.policy import PARITY_TOLERANCE, PROBE_LENGTH, Policy, relative_error, told

_LENGTHS = (PROBE_LENGTH, PROBE_LENGTH // 2, PROBE_LENGTH + 7)  # of prompts
_DECODED = 3  # tokens behind each, by the cache


@torch.no_grad()
def check_logits(policy: Policy) -> None:
    """Raises ModelError where the model does not make its logits as selfplay/head.py does."""
    [row] = _rows(policy, _LENGTHS[:1])
    ours = policy.head.logits(_alone(policy, row))
    truth = policy.model(input_ids=torch.tensor([row], device=policy.device), use_cache=False).logits[0]
    apart = relative_error(ours, truth).item()
    if not apart <= PARITY_TOLERANCE[policy.dtype]:  # so for NaN
        raise ModelError(
            f"{type(policy.model).__name__} makes its logits in a way that is not supported (they are off by "
            f"{apart:.1e}): choose another model.name"
        )


@torch.no_grad()
def check_padded(policy: Policy) -> None:
    """Compare the padded sampler and the padded pass with rows by themselves. Raises ModelError where they differ."""
    rows = _rows(policy, _LENGTHS)
    try:
        plain = [_alone(policy, row) for row in rows]
        errors = [relative_error(ours, truth) for ours, truth in zip(_trained(policy, rows), plain, strict=True)]
        errors += [
            relative_error(ours, truth[-_DECODED - 1 :])
            for ours, truth in zip(_sampled(policy, rows), plain, strict=True)
        ]
    except Exception as error:  # any architecture may fail in its own way
        reason = told(error)
    else:
        apart = torch.stack(errors).max().item()
        if apart <= PARITY_TOLERANCE[policy.dtype]:
            return
        reason = f"a padded row's hidden states are off by {apart:.1e}"
    raise ModelError(
        f"{type(policy.model).__name__} runs neither on the token tree nor as a padded batch ({reason}): choose "
        "another model.name"
    )


def _rows(policy: Policy, lengths: tuple[int, ...]) -> list[list[int]]:
    random = np.random.Generator(np.random.Philox(key=20_26))
    vocabulary = policy.head.weight.shape[0]
    return [[int(t) for t in random.integers(0, vocabulary, length + _DECODED)] for length in lengths]


def _alone(policy: Policy, row: list[int]) -> Tensor:
    """[L, d] hidden states of one row, without padding or cache."""
    ids = torch.tensor([row], device=policy.device)
    return policy.model.base_model(input_ids=ids, use_cache=False)[0][0]


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
