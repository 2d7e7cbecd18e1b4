"""Snapshots of the curriculum: exactly what a fold gives, at any step, and never believed when they are something else
(case 54)."""

import json
import sqlite3
import zlib
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import create, step_commit

from curriculum.settings import CurriculumSettings
from curriculum.tracking import snapshot
from curriculum.tracking.difficulty import KEPT_CLASSES, Tracker
from curriculum.tracking.folding import fold, keep
from curriculum.tracking.plain_data import decode, encode
from curriculum.tracking.pool import Pool
from curriculum.tracking.posterior import Counts
from selfplay.view.queries import tracker_of
from store.records import Fate, Origin, PassRate, Problem, ProblemState, Proposal, SnapshotRow, StepHistory
from store.store import Store

SETTINGS = CurriculumSettings()
STEP = st.tuples(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6), st.booleans()), max_size=3),  # family, level, has a parent
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 8), st.integers(0, 8)), max_size=4),  # problem, right, kept
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(list(Fate))), max_size=3),
)


def history(drawn: list[Any]) -> list[StepHistory]:
    """A run's steps out of numbers: problems, pass rates with second looks, proposals with every fate."""
    found, known = [], list[Problem]()
    for step, (admitted, measured, proposed) in enumerate(drawn):
        new = []
        for family, level, has_parent in admitted:
            name = f"p{len(known)}"
            parent = known[-1].problem_id if has_parent and known else None
            origin = Origin.CHALLENGER if parent else Origin.SEED
            new.append(Problem(name, "d", name, name, f"f{family}", level, "1", "seed", origin, parent))
            known.append(new[-1])
        ids = list(dict.fromkeys(known[number % len(known)].problem_id for number, _, _ in measured)) if known else []
        rates = [
            PassRate(name, max(0, step - 1), 8, right, min(kept, right), right - min(kept, right), (8 - right) // 2, 1)
            for name, (_, right, kept) in zip(ids, measured, strict=False)
        ]
        proposals = [
            Proposal(known[a % len(known)].problem_id, 0, index, "x", fate, known[b % len(known)].problem_id, 0.5)
            for index, (a, b, fate) in enumerate(proposed if known else [])
        ]
        found.append(StepHistory(step, step, tuple(new), tuple(proposals), tuple(rates)))
    return found


def folded(steps: list[StepHistory]) -> Tracker:
    tracker = Tracker(SETTINGS)
    for step in steps:
        tracker.observe(step)
    return tracker


def everything(tracker: Tracker) -> list[object]:
    """The state, value by value, and all that is derived from it."""
    state = json.dumps(encode([tracker.state_of_fold()], KEPT_CLASSES))
    ids = list(tracker.problem_ids())
    read = [(tracker.rate(i), tracker.learnability(i), tracker.is_better_now(i), tracker.staleness(i)) for i in ids]
    rest = [
        tracker.families(),
        tracker.frontier(),
        tracker.gapless_level(),
        tracker.state_counts(),
        list(tracker.banked),
    ]
    return [state, ids, read, *rest, [list(tracker.family_members(f.family)) for f in tracker.families()]]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=14), st.data())
def test_a_snapshot_and_the_rest_are_what_folding_everything_gives(drawn: list[Any], data: st.DataObject) -> None:
    """Case 54: fold(all) == load(snapshot at any step) + fold(rest), bit for bit."""
    steps = history(drawn)
    at = data.draw(st.integers(0, len(steps) - 1))
    first = folded(steps[: at + 1])
    label, packed = snapshot.pack(first, "step")
    resumed = Tracker(SETTINGS)
    assert snapshot.unpack(resumed, SnapshotRow(at, "step", label, packed))
    assert everything(resumed) == everything(first)
    for step in steps[at + 1 :]:
        resumed.observe(step)
    assert everything(resumed) == everything(folded(steps))


def test_what_is_not_what_this_code_would_store_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 54: old, damaged, of another step, other settings or other code: ignored, never believed."""
    steps = history([([(0, 1, False)], [(0, 5, 2)], [])] * 5)
    label, packed = snapshot.pack(folded(steps), "step")
    row = SnapshotRow(4, "step", label, packed)

    def taken(row: SnapshotRow, settings: CurriculumSettings = SETTINGS) -> bool:
        tracker = Tracker(settings)
        found = snapshot.unpack(tracker, row)
        assert found or everything(tracker) == everything(Tracker(settings)), "nothing is taken up by half"
        return found

    assert taken(row)
    flipped = bytes([packed[0] ^ 1]) + packed[1:]
    others = [replace(row, step=3), replace(row, step_digest="other"), replace(row, label=label[::-1])]
    assert not any(taken(each) for each in [*others, replace(row, packed=flipped), replace(row, packed=packed[:-1])])
    assert not taken(row, CurriculumSettings(forgetting=0.5))
    monkeypatch.setattr(snapshot, "fold_digest", lambda: "other code")
    assert not taken(row)


@pytest.mark.parametrize(
    "forged",
    [b"", b"[]", b"{}", b'{"kind": "plain", "values": [1]}', b'{"kind": "Popen", "columns": []}', b"[" * 100_000,
     b'{"kind": "dict", "lengths": [1], "keys": {"kind": "plain", "values": ["step"]}, '
     b'"items": {"kind": "plain", "values": [4]}}'],
)  # fmt: skip
def test_a_forged_snapshot_is_passed_over(forged: bytes) -> None:
    """Case 54: whoever forges a row can forge its label; what is in it is data and makes no object but ours."""
    packed = zlib.compress(forged)
    label = snapshot._label(packed, SETTINGS, 4, "step")
    assert not snapshot.unpack(Tracker(SETTINGS), SnapshotRow(4, "step", label, packed))


def test_values_come_back_as_they_were() -> None:
    mixed = [1, 1.0, True, None, "\ud800", (1, ("a",)), [2.5], {"k": {1: 0.1}, "j": {}}, deque([(1, 2)]),
             Counts(0.1, 1e-300, 3), ProblemState.NEW]  # fmt: skip
    back = decode(json.loads(json.dumps(encode(mixed, KEPT_CLASSES))), KEPT_CLASSES)
    assert back == mixed and [type(each) for each in back] == [type(each) for each in mixed]
    pool = Pool()
    for item in "abcd":
        pool.add(item)
    pool.discard("a")
    (again,) = decode(encode([pool], KEPT_CLASSES), KEPT_CLASSES)
    assert list(again) == ["d", "b", "c"] and "b" in again
    with pytest.raises(TypeError, match="object is not among"):
        encode([object()], KEPT_CLASSES)


def test_a_run_takes_snapshots_and_is_the_same_with_and_without_them(tmp_path: Path) -> None:
    """Case 54: looking and resuming read the steps after the snapshot only; a rewind falls back."""
    path = tmp_path / "selfplay.db"
    kept = -1
    with create(path, config_yaml="run: {steps: 200}") as store:
        tracker = tracker_of(store)
        for step in range(1, 141):
            commit = step_commit(step, proposals=(), attempts=(), search_nodes=())
            store.commit_step(commit)
            tracker.observe(StepHistory(step, step, commit.problems, commit.proposals, commit.pass_rates))
            kept = keep(store, tracker, kept)
        assert [row.step for row in store.snapshots()] == [127, 63]
        again = Tracker(tracker.settings)
        assert fold(store, again) == 127
        assert everything(again) == everything(tracker)
        store.rewind(100)
        back, whole = Tracker(tracker.settings), Tracker(tracker.settings)
        assert fold(store, back) == 63
        for history_step in store.history():
            whole.observe(history_step)
        assert everything(back) == everything(whole)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE snapshots SET packed = zeroblob(9)")
    connection.close()
    with Store.open_readonly(path) as store:
        assert everything(tracker_of(store)) == everything(back)
