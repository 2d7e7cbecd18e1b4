"""A tracker as bytes and back, so that a start folds only the steps after the last snapshot.

A snapshot is used only if its label is the one that this code would give it: the fold's code, the interpreter, the
settings and the step are in it, with a digest of the bytes. Any other is passed over, and the history is folded.
"""

import gc
import hashlib
import json
import platform
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import KEPT_CLASSES, Tracker
from curriculum.tracking.plain_data import decode, encode
from store import records
from store.records import SnapshotRow

STEPS_APART = 64  # at least so many steps lie between two snapshots
SHARE_APART = 20  # and at least one in so many of all steps: then snapshots cost a run a fixed part of its time


def is_due(step: int, last: int) -> bool:
    """Whether the steps since the snapshot of step `last` are worth another."""
    return step - last >= max(STEPS_APART, step // SHARE_APART)


def pack(tracker: Tracker, step_digest: str) -> tuple[str, bytes]:
    """(label, bytes) of what a tracker knows after its last step. `step_digest`: of that step, as it is stored."""
    state = json.dumps(encode([tracker.state_of_fold()], KEPT_CLASSES), separators=(",", ":"))
    packed = zlib.compress(state.encode(), level=1)
    return _label(packed, tracker.settings, tracker.step, step_digest), packed


def unpack(tracker: Tracker, row: SnapshotRow) -> bool:
    """Puts what was packed into a new tracker; False, and nothing is done, if it is not what this code would pack."""
    if row.label != _label(row.packed, tracker.settings, row.step, row.step_digest):
        return False
    with _no_collecting():
        return _taken_up(tracker, row)


def _taken_up(tracker: Tracker, row: SnapshotRow) -> bool:
    try:
        (state,) = decode(json.loads(zlib.decompress(row.packed)), KEPT_CLASSES)
        return tracker.restore(state, row.step)
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration, RecursionError, zlib.error):
        return False  # somebody made the label to fit bytes that no code of ours packed


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Many objects are made and none is garbage: looking for cycles among them would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _label(packed: bytes, settings: CurriculumSettings, step: int, step_digest: str) -> str:
    """sha256 over everything that a snapshot depends on."""
    facts = json.dumps([fold_digest(), asdict(settings), step, step_digest], sort_keys=True)
    return hashlib.sha256(facts.encode() + b"\0" + packed).hexdigest()


@cache
def fold_digest() -> str:
    """sha256 of the code that folds and of what its arithmetic depends on: a snapshot of other code is not used."""
    total = hashlib.sha256(f"{sys.version} {platform.machine()}".encode())
    for path in (*sorted(Path(__file__).parent.parent.rglob("*.py")), Path(records.__file__)):
        total.update(f"{path.name}\0".encode() + path.read_bytes())
    return total.hexdigest()
