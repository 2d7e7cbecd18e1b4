"""The sync proof: sampler and trainer say the log-probabilities of the same tokens, after every load of weights.

Weights that did not arrive make no error: a tied head that keeps its old matrix, or a layer that was left out, samples
on, and the run learns from what another policy said. So both read a few rows of what the policy says. Of random tokens,
which it finds most unlikely, rounding to bfloat16 alone moves a log-probability by three times as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Draw
from selfplay.model.policy import Policy
from selfplay.prompting.codec import beginning

_BEGINNING = "1 + 2 = 3\n"
_SAMPLES = 4
_LENGTH = 28  # tokens of a sample
_CHUNK = 64  # rows of logits that are made at a time


@dataclass(frozen=True, slots=True)
class Gap:
    """Absolute differences of log-probabilities, in nats, over the tokens of the probe; NaN where one is NaN."""

    mean: float
    most: float


def probe_rows(policy: Policy, local: LocalSampler) -> list[list[int]]:
    """Token ids of what the policy says now, sampled in this process, by a stream of their own."""
    tree = Tree()
    start = tree.extend(ROOT, beginning(policy.tokenizer, _BEGINNING))
    params = SamplingParams(temperature=1.0, max_tokens=_LENGTH, stop=())
    [samples] = local.sample(tree, [Draw(start, _SAMPLES, params, ("sync proof",), "probe")])
    return [[tree.tokens[node] for node in tree.path(sample.node)] for sample in samples]


@torch.no_grad()
def trainer_logprobs(policy: Policy, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """[M] float32: at temperature 1, of each row's tokens but the first, as the trainer's own module says them."""
    found = []
    for row in rows:
        ids = torch.tensor([row], device=policy.device)
        states = policy.plain_hidden(ids)[0, :-1]
        found.append(policy.head.logprobs(states, ids[0, 1:], None, _CHUNK).float().cpu().numpy())
    return np.concatenate(found)


def gap_of(sampler: np.ndarray, trainer: np.ndarray) -> Gap:
    """Of two arrays [M]. ValueError where they are of different lengths."""
    if sampler.shape != trainer.shape:
        raise ValueError(f"{len(sampler)} log-probabilities of {len(trainer)} tokens")
    apart = np.abs(sampler.astype(np.float64) - trainer)
    return Gap(float(apart.mean()), float(apart.max()))
