"""Weighted draws without replacement, from a given generator."""

import heapq
import math
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def weighted_sample(rng: random.Random, items: Sequence[Item], weights: Sequence[float], count: int) -> list[Item]:
    """Up to `count` different items, each draw in proportion to weight; items of weight 0 are never drawn.

    Keys log(u) / w, largest first (Efraimidis and Spirakis 2006): the same as drawing one after another.
    """
    keyed = [
        (math.log(1.0 - rng.random()) / weight, place) if weight > 0 else None for place, weight in enumerate(weights)
    ]
    best = heapq.nlargest(count, (key for key in keyed if key is not None))
    return [items[place] for _, place in best]


def shares(values: Sequence[float]) -> list[float]:
    """The values divided by their sum; equal shares when that is 0."""
    total = sum(values)
    return [value / total if total > 0 else 1.0 / len(values) for value in values]
