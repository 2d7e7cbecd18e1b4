"""Weighted draws without replacement, from a given generator."""

import heapq
import math
import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def weighted_sample(rng: random.Random, items: Sequence[Item], weights: Sequence[float], count: int) -> list[Item]:
    """Up to `count` different items, each draw in proportion to weight; items of weight 0 are never drawn.

    The items with the largest log(u) / w, u uniform: distributed as draws one after another without replacement
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
    """
    keyed = [
        (math.log(1.0 - rng.random()) / weight, place) if weight > 0 else None for place, weight in enumerate(weights)
    ]
    best = heapq.nlargest(count, (key for key in keyed if key is not None))
    return [items[place] for _, place in best]


def shares(values: Sequence[float]) -> list[float]:
    """v_i / sum(v); equal shares where the sum is 0."""
    total = sum(values)
    return [value / total if total > 0 else 1.0 / len(values) for value in values]


class Urn:
    """Draws places with replacement, each in proportion to its weight, from those that are not closed.

    A draw searches the cumulative sums of the weights. A closed place stays in the sums, and is redrawn when it comes
    up, until closed places hold half of the sum: then the sums are made anew. So a draw takes two tries on average at
    most, and the sums are made seldom.
    """

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self._weights = weights.copy()
        self._closed = 0.0  # weight of what was closed since the sums were made
        self._sums = np.cumsum(self._weights)

    def draw(self, rng: random.Random) -> int | None:
        """A place; None when no open one has a weight."""
        while len(self._sums) and self._sums[-1] > 0.0:
            place = int(np.searchsorted(self._sums, rng.random() * self._sums[-1], side="right"))
            if place < len(self._weights) and self._weights[place] > 0.0:
                return place
        return None

    def close(self, place: int) -> None:
        self._closed += float(self._weights[place])
        self._weights[place] = 0.0
        if 2.0 * self._closed >= self._sums[-1]:
            self._sums, self._closed = np.cumsum(self._weights), 0.0
