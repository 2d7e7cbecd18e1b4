"""A query of anybody's reads and does nothing else, whatever it says, and ends in time."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import create, step_commit

from store.sql.guard import LONGEST_VALUE
from store.sql.store import QueryError, SqlStore
from store.store import Store

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with create(tmp_path / "selfplay.db") as made:
        made.commit_step(step_commit(1))
    with SqlStore.open_readonly(tmp_path / "selfplay.db") as opened:
        yield opened


def refused(store: SqlStore, query: str, seconds: float = 10.0) -> str:
    with pytest.raises(QueryError) as told:
        store.ask(query, 10, seconds)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_an_answer_has_columns_that_differ_and_says_when_it_is_cut(store: SqlStore) -> None:
    answer = store.ask("SELECT 1 AS a, 'x' AS a, x'00ff' AS b, NULL AS \"a:2\"", 10, 10.0)
    assert answer.columns == ("a", "a:2", "b", "a:2:2") and answer.rows == ((1, "x", b"\x00\xff", None),)
    assert answer.cut == ""
    cut = store.ask(f"{ENDLESS} SELECT x FROM c", 3, 10.0)
    assert cut.rows == ((1,), (2,), (3,)) and "first 3 rows" in cut.cut
    assert store.ask(f"{ENDLESS} SELECT x FROM c LIMIT 3", 3, 10.0).cut == ""  # none was left out
    assert store.ask("PRAGMA table_info(turns)", 50, 10.0).rows[0][1] == "step_id"
    assert store.ask("SELECT value FROM json_each('[1, 2]'); -- and no more", 9, 10.0).rows == ((1,), (2,))


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("DELETE FROM turns", "DELETE FROM turns"),
        ("UPDATE turns SET reward = 9 RETURNING reward", "UPDATE turns"),
        ("INSERT INTO seals VALUES ('a', 'b')", "INSERT INTO seals"),
        ("WITH a AS (SELECT 1) INSERT INTO seals SELECT 1, 2 FROM a", "INSERT INTO seals"),
        ("DROP TABLE turns", "a change of the schema"),
        ("DROP VIEW v_turns", "a change of the schema"),
        ("CREATE TABLE x (a)", "a change of the schema"),
        ("CREATE TEMP TABLE x (a)", "a change of the schema"),
        ("ALTER TABLE turns ADD COLUMN a", "a change"),
        ("ATTACH 'here.db' AS a", "ATTACH"),
        ("PRAGMA query_only = 0", "PRAGMA query_only"),
        ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode"),
        ("PRAGMA writable_schema = 1", "PRAGMA writable_schema"),
        ("PRAGMA hard_heap_limit = 0", "PRAGMA hard_heap_limit"),
        ("SELECT load_extension('/tmp/x.so')", "load_extension()"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("REINDEX", "a change"),
        ("ANALYZE", "a change of the schema"),
        ("VACUUM", "VACUUM"),
        ("VACUUM INTO 'copy.db'", "VACUUM"),
    ],
)
def test_what_does_more_than_read_is_refused_by_name(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert named in refused(store, query)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert store.ask("SELECT count(*) FROM turns", 1, 10.0).rows == ((3,),)  # and the next is answered


def test_the_guard_alone_holds_on_a_connection_that_could_write(store: SqlStore, tmp_path: Path) -> None:
    """It is not the read-only file that refuses these: each wall stands without the other."""
    from store.sql.guard import Guard

    with sqlite3.connect(tmp_path / "other.db", isolation_level=None) as connection:
        connection.execute("CREATE TABLE x (a)")
        with Guard(5.0).over(connection):
            for query in ("INSERT INTO x VALUES (1)", "DROP TABLE x", "ATTACH 'y.db' AS y", "PRAGMA user_version = 7"):
                with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
                    connection.execute(query)
        connection.execute("INSERT INTO x VALUES (1)")  # and behind it, all is as it was
    with store._reading() as read, pytest.raises(Exception, match=r"readonly|query_only"):
        read.exec_driver_sql("DELETE FROM turns")


@pytest.mark.parametrize("query", ["", " ", ";", "-- nothing", "/* nothing */"])
def test_an_empty_query_says_what_one_looks_like(store: SqlStore, query: str) -> None:
    assert "the query is empty" in refused(store, query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1; DROP TABLE turns", "more than one statement"),
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT * FROM v_problem", "did you mean v_problems"),
        ("SELECT * FROM turn", "did you mean turns"),
        ("SELECT * FROM nowhere_at_all", "there are v_problems, v_problem_history"),
        ("SELECT pass_rat FROM v_turns", "did you mean pass_rate (in v_problem_history"),
        ("SELECT zzz FROM turns", "all columns are listed"),
        ("SELECT 1 \x00", "characters that no query can have"),
        ("SELECT '\udcff'", "characters that no query can have"),
        ("SELECT " + "(" * 5000, "overflow"),
        (f"SELECT zeroblob({LONGEST_VALUE + 1})", "longer than 64 MiB"),
        ("SELECT 'line\nbreak' FROM no\nwhere x", "no such table: no: there are"),
    ],
)
def test_what_is_wrong_with_a_query_is_one_line(store: SqlStore, query: str, words: str) -> None:
    assert words in refused(store, query)


@pytest.mark.parametrize(
    "endless",
    [
        "SELECT max(x) FROM c",
        "SELECT x FROM c ORDER BY -x",
        "SELECT count(*) FROM c, c AS d",
        "SELECT group_concat(x) FROM c",
    ],
)
def test_an_endless_query_is_stopped(store: SqlStore, endless: str) -> None:
    before = time.monotonic()
    words = refused(store, f"{ENDLESS} {endless}", seconds=0.5)
    assert "stopped after 0.5 s" in words or "longer than" in words  # whichever comes first on this machine
    assert time.monotonic() - before < 60


def test_an_answer_of_many_long_values_is_cut(store: SqlStore) -> None:
    answer = store.ask(f"{ENDLESS} SELECT zeroblob({LONGEST_VALUE}) FROM c", 10_000, 60.0)
    assert len(answer.rows) == 2 and "MiB" in answer.cut


def test_text_that_is_no_utf8_is_shown(store: SqlStore) -> None:
    assert store.ask("SELECT CAST(x'41ff' AS TEXT), 9e999", 1, 10.0).rows == (("A\\xff", float("inf")),)


def test_ctrl_c_ends_a_query_and_is_no_error_of_it(store: SqlStore) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            store.ask(f"{ENDLESS} SELECT max(x) FROM c", 1, 60.0)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_is_at_work_is_asked_without_a_lock(store: SqlStore, tmp_path: Path) -> None:
    with Store.open(tmp_path / "selfplay.db") as writer:
        with SqlStore.open_readonly(tmp_path / "selfplay.db") as asking:
            writer.commit_step(step_commit(2))
            assert asking.ask("SELECT max(step) FROM v_turns", 1, 10.0).rows == ((2,),)
            writer.commit_step(step_commit(3))
            assert asking.ask("SELECT max(step) FROM v_turns", 1, 10.0).rows == ((3,),)
