"""A set of ids with an order: O(1) add, discard and draw. Its order depends on its history alone, never on hash()."""

import random
from collections.abc import Iterable, Iterator


class Pool:
    """Discarding moves the last id into the gap, so all ids stay in one list, from which a few can be drawn cheaply."""

    __slots__ = ("_ids", "_places")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._places: dict[str, int] = {}

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Pool":
        """A pool of different ids in this order."""
        pool = cls()
        pool._ids = list(ids)
        pool._places = {item: place for place, item in enumerate(pool._ids)}
        return pool

    def add(self, item: str) -> None:
        if item not in self._places:
            self._places[item] = len(self._ids)
            self._ids.append(item)

    def discard(self, item: str) -> None:
        place = self._places.pop(item, None)
        if place is None:
            return
        last = self._ids.pop()
        if last != item:
            self._ids[place] = last
            self._places[last] = place

    def sample(self, rng: random.Random, limit: int) -> list[str]:
        """All ids when there are at most `limit`, else `limit` different ones at random."""
        return list(self._ids) if len(self._ids) <= limit else rng.sample(self._ids, limit)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __contains__(self, item: object) -> bool:
        return item in self._places
