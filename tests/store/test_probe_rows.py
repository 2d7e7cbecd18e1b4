"""Probes, what weights answered to them, and picks: stored once, sealed, and gone with the branch they belong to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import copy_new, pick, probe, step_commit

from store.errors import StoreError
from store.records import Alarm, AlarmEvent, ProbeKind
from store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(copy_new(tmp_path / "selfplay.db")) as opened:
        yield opened


def test_probes_answers_and_picks_come_back_as_they_were_stored(store: Store) -> None:
    hard = replace(probe(2), kind=ProbeKind.HARD, rate=0.0)
    store.commit_step(step_commit(1, probes=(probe(1),)))
    store.commit_step(step_commit(2, probes=(hard,)))
    assert store.probes() == [(1, probe(1)), (2, hard)]
    store.commit_probe_answers(2, {"p-2": False, "p-1": True})
    store.commit_probe_answers(1, {"p-1": False})
    assert store.probe_answers() == {1: {"p-1": False}, 2: {"p-1": True, "p-2": False}}
    assert store.best_step() is None
    stored = store.commit_pick(pick(2, best=1))
    assert stored == pick(2, best=1) and stored.committed_at
    assert store.picks() == [stored] and store.best_step() == 1
    assert list(store.damages()) == []


def test_a_pick_raises_an_alarm_behind_those_of_its_step(store: Store) -> None:
    commit = step_commit(1)
    store.commit_step(commit)
    raised = Alarm("probes", AlarmEvent.RAISED, 0.25, 0.125, "it fell", "Look")
    store.commit_pick(pick(1, best=1), (raised,))
    assert store.alarms() == [(1, *commit.alarms), (1, raised)]
    assert list(store.damages()) == []


def test_what_cannot_be_is_refused_and_leaves_nothing(store: Store) -> None:
    store.commit_step(step_commit(1))
    store.commit_probe_answers(1, {"p-1": True})
    with pytest.raises(StoreError):
        store.commit_probe_answers(1, {"p-seed": True, "p-1": False})
    assert store.probe_answers() == {1: {"p-1": True}}
    with pytest.raises(StoreError, match="no step 2"):
        store.commit_probe_answers(2, {"p-1": True})
    with pytest.raises(StoreError, match="no step 2"):
        store.commit_pick(pick(1, best=2))
    with pytest.raises(StoreError, match="product"):
        store.commit_pick(replace(pick(1, best=1), product=float("nan")))
    with pytest.raises(StoreError):
        store.commit_pick(replace(pick(1, best=1), hard_solved=9))
    assert store.picks() == [] and list(store.damages()) == []


def test_a_rewind_takes_back_what_later_steps_knew(store: Store) -> None:
    for step in (1, 2):
        store.commit_step(step_commit(step, probes=(probe(step),)))
        store.commit_probe_answers(step, {"p-1": True})
        store.commit_pick(pick(step, best=step))
    store.rewind(1)
    assert store.probes() == [(1, probe(1))]
    assert list(store.probe_answers()) == [1]
    assert [each.best_step for each in store.picks()] == [1] and store.best_step() == 1
    assert list(store.damages()) == []
