"""A process killed at any named point of a commit leaves the state before it or the state after it, nothing else."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_samples import create, step_commit, wave

from store import kill_points
from store.records import CheckpointRow, Evaluation
from store.store import Store

# What a run does, in order. A name is the beginning of the fault points its call reaches.
CALLS: list[tuple[str, Callable[[Store], object]]] = [
    ("wave.", lambda store: store.commit_wave(wave(1, "solver/0"))),
    ("wave.", lambda store: store.commit_wave(wave(1, "solver/1"))),
    ("step.", lambda store: store.commit_step(step_commit(1))),
    ("evaluation.", lambda store: store.commit_evaluation(Evaluation(1, "add2", "full", {"acc_t1": 0.5}))),
    ("checkpoint.row_", lambda store: store.commit_checkpoint(CheckpointRow(2, 1, "checkpoints/1", "m", "w"))),
    ("wave.", lambda store: store.commit_wave(wave(2))),
    ("step.", lambda store: store.commit_step(step_commit(2))),
    ("evaluation.", lambda store: store.commit_evaluation(Evaluation(1, "add2", "full", {"acc_t1": 0.75}))),
    ("prune.", lambda store: store.prune_journal(2)),
    ("wave.", lambda store: store.commit_wave(wave(3))),
    ("rewind.", lambda store: store.rewind(1)),
    ("step.", lambda store: store.commit_step(step_commit(2, seconds=9.0))),
]
AFTER = ("committed", "rows")  # points that lie behind the commit
POINTS = [
    (point, n, index)
    for point in kill_points.POINTS
    for name in sorted({name for name, _ in CALLS})
    if point.startswith(name) and point not in ("prune.files", "checkpoint.row_deleted")  # the caller's
    for n, index in enumerate([i for i, (other, _) in enumerate(CALLS) if other == name], start=1)
]


def _state(path: Path) -> tuple[object, ...]:
    """Everything the store tells, and that SQLite finds no fault with the file."""
    with Store.open(path) as store:
        told = (
            store.table_digest(),
            store.steps(include_abandoned=True),
            list(store.history()),
            [store.pending_waves(step) for step in range(5)],
            store.checkpoints(),
            store.evaluations(),
        )
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return told


@pytest.fixture(scope="module")
def legal_states(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What an uninterrupted run tells before its first call and after each."""
    path = tmp_path_factory.mktemp("whole") / "selfplay.db"
    create(path).close()
    states = [_state(path)]
    for _, call in CALLS:
        with Store.open(path) as store:
            call(store)
        states.append(_state(path))
    return states


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed, new run."""
    path = tmp_path_factory.mktemp("new") / "selfplay.db"
    create(path).close()
    return path


def _killed(work: Callable[[], object], point: str, n: int) -> bool:
    """Runs `work` in a child armed to die at a point; whether it died there."""
    child = os.fork()
    if child == 0:
        try:
            kill_points.arm(point, n)
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _play(path: Path, first: int) -> None:
    with Store.open(path) as store:
        for _, call in CALLS[first:]:
            call(store)


@pytest.mark.parametrize(("point", "n", "index"), POINTS)
def test_a_kill_leaves_a_legal_state_from_which_the_run_goes_on(
    legal_states: list[tuple[object, ...]], new_run: Path, tmp_path: Path, point: str, n: int, index: int
) -> None:
    path = tmp_path / "selfplay.db"
    shutil.copyfile(new_run, path)
    assert _killed(lambda: _play(path, 0), point, n)
    num_done = index + point.endswith(AFTER)
    assert _state(path) == legal_states[num_done]
    _play(path, num_done)
    assert _state(path) == legal_states[-1]


def test_a_kill_while_a_run_is_made_leaves_no_run_or_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    assert _killed(lambda: create(path), "create.built", 1)
    assert not path.exists()
    assert _killed(lambda: create(path), "create.renamed", 1)
    with Store.open(path) as store:
        assert store.head().step == 0 and len(list(store.problems())) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["selfplay.db"]


def test_an_unknown_point_is_refused_wherever_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("nowhere:1", "step.begin", "step.begin:0", "step.begin:x"):
        monkeypatch.setenv("SELFPLAY_KILL_AT", wrong)
        with pytest.raises(ValueError, match="SELFPLAY_KILL_AT"):
            kill_points.reach("step.begin")
    with pytest.raises(ValueError, match="unknown kill point"):
        kill_points.reach("nowhere")
    with pytest.raises(ValueError, match="POINT:N"):
        kill_points.arm("nowhere", 1)


def test_a_point_kills_only_when_it_is_reached_for_the_nth_time() -> None:
    def reach_twice() -> None:
        for point in ("step.begin", "wave.begin", "step.begin"):
            kill_points.reach(point)

    assert _killed(reach_twice, "step.begin", 2)
    assert not _killed(reach_twice, "step.begin", 3)
    assert not _killed(reach_twice, "wave.begin", 2)
