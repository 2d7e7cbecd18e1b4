"""Brings a tracker to a store's head: from the newest snapshot that this code made, and the steps after it."""

from contextlib import suppress

from curriculum.tracking import snapshot
from curriculum.tracking.difficulty import Tracker
from store.errors import DiskFull
from store.store import Store


def fold(store: Store, tracker: Tracker) -> int:
    """Brings a new tracker to the store's head; returns the step whose snapshot it began with, -1 for none."""
    begun = next((row.step for row in store.snapshots() if snapshot.unpack(tracker, row)), -1)
    for step in store.history(after=begun):
        tracker.observe(step)
    return begun


def keep(store: Store, tracker: Tracker, last: int) -> int:
    """Stores a snapshot of the head if one is due after that of step `last`; returns the newest one's step."""
    if not snapshot.is_due(tracker.step, last):
        return last
    with suppress(DiskFull):  # it saves time and holds nothing: the next commit meets the full disk itself
        store.put_snapshot(*snapshot.pack(tracker, store.head_digest()))
    return tracker.step
