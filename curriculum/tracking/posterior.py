"""Exponentially forgotten counts and the Beta posterior means read from them. Pure numbers."""

import random
from dataclasses import dataclass

_LEAST = 0.1  # added to a Beta's parameters, which are above 0: a prior mean may be 0 or 1


@dataclass(slots=True)
class Forgotten:
    """Hits and misses, worth `forgetting` times less with every policy version that passes.

    Decay is applied when something is added, not when something is read, so reading leaves no trace in the numbers.
    """

    hits: float = 0.0
    misses: float = 0.0
    version: int = 0  # the policy version that the two are weighted for

    def add(self, hits: float, misses: float, version: int, forgetting: float) -> None:
        """Adds an observation; one older than the newest (a stale engine) is added at its decayed weight."""
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
    """Mean of the Beta posterior, in (0, 1) for a prior mean in (0, 1). The default prior is Beta(1, 1).

    beta_mean(3, 1) = (1 + 3) / (2 + 4) = 2/3.
    """
    return (prior_mean * prior_strength + hits) / (prior_strength + hits + misses)


def beta_draw(
    rng: random.Random, hits: float, misses: float, prior_mean: float = 0.5, prior_strength: float = 2.0
) -> float:
    """A draw, in [0, 1], from the posterior whose mean `beta_mean` is, but for `_LEAST`."""
    prior = prior_mean * prior_strength
    return rng.betavariate(prior + hits + _LEAST, prior_strength - prior + misses + _LEAST)


def learnability(rate: float) -> float:
    """4 p (1 - p), in [0, 1], highest at 1/2: the variance of a success, scaled (SFL, LILO; algorithms.md 11.5)."""
    return 4.0 * rate * (1.0 - rate)


def beta_learnability(mean: float, strength: float) -> float:
    """The mean of 4 p (1 - p) for p of the Beta distribution with this mean and strength (sum of its parameters)."""
    return learnability(mean) * strength / (strength + 1.0)
