"""GSPO: the ratio of a whole completion, and its clip (arXiv 2507.18071).

    s = exp(mean over the completion's tokens of log theta - log mu),   l = -min(s A, clip(s, 1 - low, 1 + high) A)

Its gradient is -s A times the mean of the tokens' gradients of log theta where s is not clipped, else 0. s is worked
out before the update's packs are run, for a cut may go through a completion; then the packs have s A in A's place.
"""

from dataclasses import dataclass, replace

import numpy as np

from selfplay.learn.batch import TrainBatch


@dataclass(frozen=True, slots=True)
class Clipped:
    """`batch`: its advantages times s, 0 where s is clipped. `loss`: what the clipped ones add to the loss, a
    constant. `clipped`: how much of the sum of `counts` is in them."""

    batch: TrainBatch
    loss: float
    clipped: float


def clipped_by_sequence(batch: TrainBatch, logprobs: np.ndarray, low: float, high: float) -> Clipped:
    """logprobs: [M] of the trained tokens, by the policy. Raises ValueError for a batch without `sequences`."""
    sequences = batch.sequences
    if sequences is None:
        raise ValueError("train.surrogate=gspo needs a batch that has its sequences")
    where = batch.parents, batch.targets
    ratios = np.exp(sequences.summed(logprobs - batch.sampler_logprobs, *where) / sequences.lengths)
    above, below = ratios > 1 + high, ratios < 1 - low
    pushed = sequences.positive * above * (1 + high) + sequences.negative * below * (1 - low)
    cut = above & (sequences.positive > 0) | below & (sequences.negative < 0)
    return Clipped(
        replace(
            batch,
            positive=sequences.spread(np.where(above, 0.0, ratios * sequences.positive), *where),
            negative=sequences.spread(np.where(below, 0.0, ratios * sequences.negative), *where),
        ),
        loss=-float((sequences.lengths * pushed).sum()),
        clipped=float((sequences.lengths * sequences.counts * cut).sum()),
    )
