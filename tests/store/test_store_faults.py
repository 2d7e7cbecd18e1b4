"""What stands in the store's way ends in one clear line, and people may look while a run is live."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from store_samples import copy_new, create, step_commit, wave

from store.errors import DiskFull, Locked, StoreError
from store.store import Store
from store.writing import change_run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copy_new(tmp_path / "selfplay.db")


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def test_every_connection_writes_ahead_waits_for_the_disk_and_holds_to_foreign_keys(store: Store) -> None:
    for _ in range(2):
        with store._engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2 is FULL
        store._engine.dispose()  # the next round gets a new connection


def test_readers_see_the_last_commit_while_a_write_is_open(store: Store, path: Path) -> None:
    with Store.open_readonly(path, busy_seconds=0.05) as reader:
        with store._writing() as connection:
            change_run(connection, name="half done")
            assert reader.run().name == "sample"
            with Store.open_readonly(path, busy_seconds=0.05) as second:
                assert second.head().step == 0
        assert reader.run().name == "half done"
        store.commit_step(step_commit(1))
        assert reader.head().step == 1


@pytest.mark.parametrize("steps_between", [40, 90])
def test_an_older_database_beside_a_newer_log_is_left_as_it_is(path: Path, tmp_path: Path, steps_between: int) -> None:
    """Cases 29, 30: a refusal moved the foreign log into the database that had just been put back."""
    with Store.open(path) as store:
        store.commit_step(step_commit(1))
    older = path.read_bytes()  # whole: the writer has closed
    place = tmp_path / "put back"
    place.mkdir()
    with Store.open(path) as store:
        for step in range(2, 2 + steps_between):
            store.commit_step(step_commit(step))
            store.checkpoint_wal()
        store.commit_step(step_commit(2 + steps_between))
        (place / "selfplay.db-wal").write_bytes(path.with_name("selfplay.db-wal").read_bytes())  # as after a kill
    (place / path.name).write_bytes(older)
    log = (place / "selfplay.db-wal").read_bytes()
    with pytest.raises(StoreError) as refused:
        Store.open(place / path.name)
    assert "\n" not in str(refused.value) and "selfplay.db-wal" in str(refused.value)
    assert (place / path.name).read_bytes() == older and (place / "selfplay.db-wal").read_bytes() == log
    (place / "selfplay.db-wal").rename(tmp_path / "away")
    with Store.open(place / path.name) as store:
        assert store.head().step == 1


def test_an_open_reader_does_not_stop_the_writer(store: Store, path: Path) -> None:
    with Store.open_readonly(path) as reader, reader._reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM steps").all()
        store.commit_step(step_commit(1))
        assert store.checkpoint_wal() is False
    assert store.checkpoint_wal() is True
    assert path.with_name("selfplay.db-wal").stat().st_size == 0


def test_a_read_only_store_refuses_every_write(path: Path, tmp_path: Path) -> None:
    with Store.open_readonly(path) as reader:
        for write in (
            lambda: reader.commit_step(step_commit(1)),
            lambda: reader.commit_wave(wave(1)),
            lambda: reader.rewind(0),
            reader.checkpoint_wal,
        ):
            with pytest.raises(StoreError, match="to look at only"):
                write()
        with pytest.raises(DBAPIError, match="readonly"), reader._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE runs SET name = 'x'")
        with pytest.raises(DBAPIError, match="attached"), reader._engine.connect() as connection:
            connection.exec_driver_sql(f"ATTACH '{tmp_path / 'evil.db'}' AS evil")
    assert not (tmp_path / "evil.db").exists()


def test_a_closed_run_can_be_looked_at(path: Path) -> None:
    with Store.open_readonly(path) as reader:
        assert reader.run().name == "sample"


def test_a_locked_database_says_who_may_hold_it(store: Store, path: Path) -> None:
    with store._writing(), pytest.raises(Locked, match=r"locked by another process.*database is locked") as caught:
        Store.open(path, busy_seconds=0.05)
    assert "\n" not in str(caught.value)


def test_a_full_disk_has_a_name_of_its_own_and_loses_nothing(store: Store) -> None:
    store.commit_step(step_commit(1))
    before = store.table_digest()
    with store._reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFull, match="is full: free some space"):
        store.commit_wave(wave(2, text="x" * 20_000))
    assert store.table_digest() == before
    with store._reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    store.commit_wave(wave(2, text="x" * 20_000))


def test_what_is_no_run_database_is_refused(tmp_path: Path, path: Path) -> None:
    other, empty, text, broken = (tmp_path / name for name in ("other.db", "empty.db", "text.db", "broken.db"))
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE films (name TEXT)")
    connection.close()
    empty.touch()
    text.write_text("not a database at all, but long enough to have a header\n" * 20)
    broken.write_bytes(path.read_bytes()[:5000])
    cases = [
        (tmp_path / "missing.db", "no run database at"),
        (tmp_path, "no run database at"),
        (other, "not of a selfplay run"),
        (empty, "is empty: restore it"),
        (text, "not a database or is damaged"),
        (broken, "not a database or is damaged"),
    ]
    for case, message in cases:
        for way in (Store.open, Store.open_readonly):
            with pytest.raises(StoreError, match=message):
                way(case)
    assert not (tmp_path / "missing.db").exists()


def test_a_name_that_is_taken_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="exists already"):
        create(path)


def test_a_number_too_big_for_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not fit"):
        create(tmp_path / "big.db", seed=2**70)
    assert not (tmp_path / "big.db").exists()
