"""Counts that decay exponentially, and the Beta posteriors read from them. Pure numbers."""

import random
from dataclasses import dataclass

_LEAST = 0.1  # added to a Beta's parameters, which are above 0: a prior mean may be 0 or 1


@dataclass(slots=True)
class Counts:
    """Discounted hits and misses: n(v) = sum over observations i of gamma^(v - v_i) n_i, v the policy version.

    gamma is `forgetting`. Decay is applied when something is added, not when it is read: reading changes no number.
    """

    hits: float = 0.0
    misses: float = 0.0
    version: int = 0  # the policy version that the two are weighted for

    def add(self, hits: float, misses: float, version: int, forgetting: float) -> None:
        """Adds an observation; one older than the newest (of a sampler that lags behind) at its decayed weight."""
        if version > self.version:
            decay = forgetting ** (version - self.version)
            self.hits *= decay
            self.misses *= decay
            self.version = version
        weight = forgetting ** (self.version - version)
        self.hits += weight * hits
        self.misses += weight * misses

    def at(self, version: int, forgetting: float) -> tuple[float, float]:
        """(hits, misses) as they count at `version`."""
        decay = forgetting ** max(0, version - self.version)
        return self.hits * decay, self.misses * decay


def beta_mean(hits: float, misses: float, prior_mean: float = 0.5, prior_strength: float = 2.0) -> float:
    """(m s + hits) / (s + hits + misses): the posterior mean for a prior Beta(m s, (1 - m) s), by default Beta(1, 1).

    In (0, 1) for a prior mean in (0, 1). beta_mean(3, 1) = (1 + 3) / (2 + 4) = 2/3.
    """
    return (prior_mean * prior_strength + hits) / (prior_strength + hits + misses)


def beta_draw(
    rng: random.Random, hits: float, misses: float, prior_mean: float = 0.5, prior_strength: float = 2.0
) -> float:
    """A draw, in [0, 1], from Beta(m s + hits + _LEAST, (1 - m) s + misses + _LEAST)."""
    prior = prior_mean * prior_strength
    return rng.betavariate(prior + hits + _LEAST, prior_strength - prior + misses + _LEAST)


def learnability(rate: float) -> float:
    """4 p (1 - p), in [0, 1], 1 at p = 1/2: the variance of a success, scaled.

    Source: Rutherford et al., "No Regrets" (sampling for learnability, arXiv 2408.15099).
    """
    return 4.0 * rate * (1.0 - rate)


def beta_learnability(mean: float, strength: float) -> float:
    """E[4 p (1 - p)] = 4 m (1 - m) s / (s + 1), p ~ Beta(m s, (1 - m) s)."""
    return learnability(mean) * strength / (strength + 1.0)
