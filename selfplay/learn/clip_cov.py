"""Clip-Cov: a few of the tokens that make a policy certain are left out of an update.

An update changes the policy's entropy by about -eta Cov(log p, A): a likely token with a high advantage takes entropy
away. A small share of tokens has a covariance far above the others', and what they push is left out (Cui et al., "The
Entropy Mechanism of Reinforcement Learning for Reasoning Language Models", arXiv 2505.22617). KL-Cov, its other form,
holds such tokens near the policy that sampled them; here a sample is updated on once, from that policy, where the
gradient of such a KL is 0, so there is none.

What is left out is decided on the batch before the update. So it stands in the journal, and a replay makes the same
update.
"""

import random
from dataclasses import dataclass, replace

import numpy as np

from selfplay.learn.batch import TrainBatch


@dataclass(frozen=True, slots=True)
class ClipCovSettings:
    """`share` in [0, 1] of the rows that are trained, of those whose covariance is in [low, high]; 0: none."""

    share: float = 0.0
    low: float = 1.0
    high: float = 5.0


def covariances(batch: TrainBatch) -> np.ndarray:
    """[M] (log p - mean log p) (A - mean A) of each row, NaN where it has no advantage or nobody sampled it.

    log p is the sampler's, A the mean advantage of the samples that said the token, and means are over what was said:
    a row counts as often as it was. Advantages are not divided by any deviation, here as elsewhere.
    """
    is_in = (batch.counts > 0) & ~np.isnan(batch.sampler_logprobs)
    found = np.full(len(batch.counts), np.nan)
    if not is_in.any():
        return found
    weights = batch.counts[is_in]
    logprobs = batch.sampler_logprobs[is_in]
    advantages = (batch.positive + batch.negative)[is_in] / weights
    centred = [values - np.average(values, weights=weights) for values in (logprobs, advantages)]
    found[is_in] = centred[0] * centred[1]
    return found


def clip_cov(batch: TrainBatch, settings: ClipCovSettings, key: str) -> tuple[TrainBatch, int]:
    """The batch without the advantages of some rows, drawn by `key`, and how many rows these are: `share` of all rows,
    at least one, as far as there are such. Their counts and KL stay."""
    if settings.share == 0.0:
        return batch, 0
    with np.errstate(invalid="ignore"):
        values = covariances(batch)
        candidates = np.flatnonzero((values >= settings.low) & (values <= settings.high)).tolist()
    wanted = max(1, int(settings.share * len(batch.counts)))
    chosen = random.Random(key).sample(candidates, min(wanted, len(candidates)))
    positive, negative = batch.positive.copy(), batch.negative.copy()
    positive[chosen] = negative[chosen] = 0.0
    return replace(batch, positive=positive, negative=negative), len(chosen)
