"""The clipped, importance-weighted policy-gradient loss on merged tokens.

For one sample of advantage A, with theta the policy now, anchor what the ratio is taken against and mu the sampler:

    r = theta / anchor,   w = min(anchor / mu, C),   l = -w min(r A, clip(r, 1 - low, 1 + high) A)

w as `importance_mode` has it (importance.py), by default as it is here.

All three are of the distribution that the token was drawn from: tempered, and where top_k, top_p or min_p left a part
of the vocabulary, renormalised over that part as it was at the time. So r is 1 for a policy that has not moved.

A token that several samples share has one theta and one mu, so their terms differ in A only, and

    sum_i min(r A_i, clip(r) A_i) = min(r, clip(r)) * sum of positive A_i + max(r, clip(r)) * sum of negative A_i.

anchor "policy" is theta itself without gradient (r = 1 in value: one update per step needs no clip, and w corrects
the sampler's different arithmetic or age); anchor "sampler" is mu (w = 1, and the clip bounds the mismatch);
anchor "none" is plain likelihood, -A log theta: imitation of the samples whose A is above 0.

What anchor "sampler" makes of r and A is the surrogate: "ppo" as it is above; "cispo" (arXiv 2506.13585)
-sg(clip(r, 1 - low, 1 + high)) A log theta, which lets clipped tokens push as well; "gspo" the ratio and the clip of
whole completions, which are in the advantages already (sequence_clip.py).

Clip: PPO (arXiv 1707.06347) with DAPO's wider upper bound (2503.14476).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from selfplay.train.choices import Anchor, ImportanceMode, Surrogate
from selfplay.train.importance import is_by_sequence, token_weights


@dataclass(frozen=True, slots=True)
class LossSettings:
    """clip_low in (0, 1), clip_high above 0; importance_cap C >= 1. The modes sequence_* weigh a batch before its loss
    is taken (importance.py), which has no weights of its own then."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    anchor: Anchor | Literal["none"] = "policy"
    importance_cap: float = 2.0
    importance_mode: ImportanceMode = "token_truncate"
    surrogate: Surrogate = "ppo"

    @property
    def weighs_sequences(self) -> bool:
        """Whether whole completions are weighed (importance.py)."""
        return self.anchor == "policy" and is_by_sequence(self.importance_mode)

    @property
    def clips_sequences(self) -> bool:
        """Whether whole completions are clipped (sequence_clip.py)."""
        return self.anchor == "sampler" and self.surrogate == "gspo"


def policy_loss(
    logprobs: Tensor,  # [m] theta, with gradient
    sampler_logprobs: Tensor,  # [m] mu; not read by anchor "none"
    positive: Tensor,  # [m] sums of positive advantages, scaled (TrainBatch)
    negative: Tensor,  # [m] sums of negative advantages, scaled
    settings: LossSettings,
    copied: Tensor | None = None,  # [m] bool: tokens that nobody sampled; None: there are none
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum over tokens, and what happened to each [m]. Of a copied token the loss is plain likelihood, -A log theta,
    whatever the settings; it has no ratio, and its "log_ratio" is -inf.

    "clipped" and "truncated" are 0 or 1, of the ratio and of the weight; "weight" is the weight, and "log_ratio" what
    it is made of, log anchor / mu.
    """
    now = logprobs.detach()
    if copied is not None and settings.anchor != "none":
        said, nothing = torch.where(copied, now, sampler_logprobs), torch.zeros_like(now)
        pushes = [torch.where(copied, nothing, side) for side in (positive, negative)]
        loss, facts = policy_loss(logprobs, said, pushes[0], pushes[1], settings)
        facts["log_ratio"] = facts["log_ratio"].masked_fill(copied, -torch.inf)
        return loss - (logprobs * torch.where(copied, positive + negative, nothing)).sum(), facts
    if settings.anchor == "none":
        facts = {"clipped": torch.zeros_like(now), **_weight_facts(torch.zeros_like(now), settings)}
        return -(logprobs * (positive + negative)).sum(), facts
    if settings.anchor == "sampler" and settings.surrogate == "gspo":
        facts = {"clipped": torch.zeros_like(now), **_weight_facts(now - sampler_logprobs, settings)}
        return -((logprobs - now).exp() * (positive + negative)).sum(), facts
    anchor = now if settings.anchor == "policy" else sampler_logprobs
    facts = _weight_facts(anchor - sampler_logprobs, settings)
    ratio = (logprobs - anchor).exp()
    clipped = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    gain = torch.minimum(ratio, clipped) * positive + torch.maximum(ratio, clipped) * negative
    facts["clipped"] = (((ratio > clipped) & (positive > 0)) | ((ratio < clipped) & (negative < 0))).float()
    if settings.anchor == "sampler" and settings.surrogate == "cispo":
        return -(clipped.detach() * logprobs * (positive + negative)).sum(), facts
    weight = facts["weight"]
    return -(weight * gain).sum(), facts


def _weight_facts(log_ratio: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    mode: ImportanceMode = settings.importance_mode if settings.anchor == "policy" else "none"
    weight, is_cut = token_weights(log_ratio, mode, settings.importance_cap)
    return {"log_ratio": log_ratio, "weight": weight, "truncated": is_cut.float()}


def kl_to_reference(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """[m] k3 = exp(ref - theta) - (ref - theta) - 1 >= 0 of each token: unbiased for KL(theta, ref) under theta's
    samples, where both are normalised over the tokens that could be drawn: of what could not, nothing is held. Source:
    Schulman, "Approximating KL divergence", 2020.
    """
    difference = ref_logprobs - logprobs
    return difference.exp() - difference - 1
