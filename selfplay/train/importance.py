"""Importance weights: they correct an update for a sampler that drew from another distribution than the policy's.

A sampler in another precision or of older weights says a token with mu where the policy says it with theta. With the
ratio theta / mu as a weight the mean over its samples is one over the policy's own. There are two ratios, and two ways
to bound what a rare sample may weigh:

    token_*     w_t = theta_t / mu_t of each token alone: steady, but what came before a token stays the sampler's
    sequence_*  w_y = product of theta_t / mu_t over a completion: exact but for the cap C, and wild where y is long

    *_truncate  min(w, C): truncated importance sampling, TIS
    *_mask      w where it is at most C, else 0: masked importance sampling, MIS

A sequence is what one advantage is for (`Sequences`): one turn of one role, given what stands before it. The names of
the modes are those of TRL's `vllm_importance_sampling_mode`. Sources: TIS by token, "Your Efficient RL Framework
Secretly Brings You Off-Policy RL Training" (Yao and others, 2025); by sequence and by masking, "When Speed Kills
Stability" (Liu and others, 2025), and verl's `rollout_correction`.

Left out: a weight of the geometric mean of a completion's ratios, and a lower bound below which a weight is 0.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from selfplay.learn.batch import TrainBatch
from selfplay.metrics import IMPORTANCE_ESS, IMPORTANCE_MAX, IMPORTANCE_MEAN, TRUNCATED_SHARE
from selfplay.train.choices import ImportanceMode

MOST_LOG_RATIO = 20.0  # nats: what is above shows as this in a figure, for its exponential need not be a number


def is_by_sequence(mode: ImportanceMode) -> bool:
    return mode in ("sequence_truncate", "sequence_mask")


def token_weights(log_ratios: Tensor, mode: ImportanceMode, cap: float) -> tuple[Tensor, Tensor]:
    """([m] weight of each token, [m] whether it was cut); all 1, and none cut, for other modes than token_*."""
    if mode not in ("token_truncate", "token_mask"):
        return torch.ones_like(log_ratios), torch.zeros_like(log_ratios, dtype=torch.bool)
    ratios = log_ratios.exp()
    is_cut = ratios > cap
    return torch.where(is_cut, 0.0, ratios) if mode == "token_mask" else ratios.clamp(max=cap), is_cut


def weighed_by_sequence(
    batch: TrainBatch, logprobs: np.ndarray, mode: ImportanceMode, cap: float
) -> tuple[TrainBatch, "WeightTotals"]:
    """`batch` with the advantages of each sequence times its weight, and what there is to say of the weights.

    logprobs: [M] of the trained tokens, by the policy. Raises ValueError for a batch without `sequences`.
    """
    sequences = batch.sequences
    if sequences is None:
        raise ValueError(f"train.importance_mode={mode} needs a batch that has its sequences")
    where = batch.parents, batch.targets
    log_ratios = sequences.summed(logprobs - batch.sampler_logprobs, *where)
    is_cut = log_ratios > np.log(cap)
    weights = np.where(is_cut, 0.0 if mode == "sequence_mask" else cap, np.exp(np.minimum(log_ratios, np.log(cap))))
    totals = WeightTotals()
    totals.add(*(torch.from_numpy(column) for column in (sequences.counts, log_ratios, weights, is_cut)))
    weighed = replace(
        batch,
        positive=sequences.spread(weights * sequences.positive, *where),
        negative=sequences.spread(weights * sequences.negative, *where),
    )
    return weighed, totals


@dataclass(slots=True)
class WeightTotals:
    """Sums over weights, of tokens or of sequences, each as often as the loss counts it."""

    count: float = 0.0
    weight: float = 0.0
    square: float = 0.0
    cut: float = 0.0
    largest: float = 0.0  # ratio before it was cut

    def add(self, counts: Tensor, log_ratios: Tensor, weights: Tensor, is_cut: Tensor) -> None:
        """All [n]. A log-ratio may be NaN where nobody sampled: it is in no figure but those of its weight."""
        counts, weights = counts.double(), weights.double()
        self.count += counts.sum().item()
        self.weight += (counts * weights).sum().item()
        self.square += (counts * weights * weights).sum().item()
        self.cut += (counts * is_cut).sum().item()
        if len(log_ratios):
            bounded = log_ratios.nan_to_num(nan=0.0).clamp(max=MOST_LOG_RATIO)
            self.largest = max(self.largest, bounded.exp().max().item())

    def metrics(self) -> dict[str, float]:
        """The effective sample size is Kish's, (sum w)^2 / sum w^2, as a share of the samples. Without samples there is
        none, and no mean."""
        if not self.count:
            return {TRUNCATED_SHARE: 0.0}
        return {
            TRUNCATED_SHARE: self.cut / self.count,
            IMPORTANCE_MEAN: self.weight / self.count,
            IMPORTANCE_MAX: self.largest,
            IMPORTANCE_ESS: self.weight**2 / (self.count * self.square) if self.square else 0.0,
        }
