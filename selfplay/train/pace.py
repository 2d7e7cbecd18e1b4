"""How large an update may be: a learning rate that is steered by how far the update before it has moved the policy.

What a learning rate does to a model depends on the model: the same rate moves one hardly and ruins another. The KL that
an update causes does not, so it is what can be set (`train.step_kl`), and the rate follows:

    KL     = mean over trained tokens of  theta'/theta - 1 - log(theta'/theta)
    scale <- scale * clip(sqrt(target / KL), 1/2, 2)

theta is the policy that the tokens were sampled from, theta' the one after the update: an unbiased estimate of
KL(theta, theta'), in nats a token, which is never below 0 (Schulman, "Approximating KL divergence", 2020). To small
changes the KL is quadratic in the rate, hence the root, and a rate that warms up or decays has a target that does so by
its square. The scale begins at START, for a first step that is too large
cannot be taken back. Adaptive rates of this kind: PPO's adaptive penalty (arXiv 1707.06347, section 4).
"""

import math

START = 1 / 16  # of the learning rate that was set: four steps from it, at the fastest
MOST_CHANGE = 2.0  # a step's estimate is noisy, so the rate follows it slowly
LEAST, MOST = 2.0**-12, 2.0**12  # of the learning rate that was set


def next_scale(scale: float, kl: float, target: float) -> float:
    """The scale of the next update. `kl` >= 0 is what this one caused, `target` > 0 what it was to cause."""
    wanted = math.sqrt(target / kl) if kl > 0 else MOST_CHANGE
    return min(MOST, max(LEAST, scale * min(MOST_CHANGE, max(1 / MOST_CHANGE, wanted))))
