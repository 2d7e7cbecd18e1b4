"""Connections to SQLite: one writer, and readers that look without disturbing it (reliability.md 1.5).

SQLite before 3.51.3 may damage a database when two connections checkpoint at once; here only the writer does.
Left out: pools. An engine holds one connection, so a transaction begun inside another one is an error, not a deadlock.
An engine must not be used across a fork: open the store again in the child.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from store.errors import RowsDamaged, StoreError

_READ_AT_START = 2 << 30  # bytes: some ten seconds
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


def writer_engine(path: Path, *, create: bool = False, busy_seconds: float = 10.0, foreign_keys: bool = True) -> Engine:
    """The engine that writes: every transaction is BEGIN IMMEDIATE, every commit is on disk when it returns.

    `foreign_keys=False` is for migrations, which rebuild tables that others refer to. `create` is for a new database,
    which is renamed once it is whole: it has no write-ahead log, part of which a full disk would leave behind.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rwc" if create else "rw", busy_seconds)
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute(f"PRAGMA journal_mode={'DELETE' if create else 'WAL'}")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    return _engine(connect, "BEGIN IMMEDIATE")


def reader_engine(path: Path, *, busy_seconds: float = 10.0) -> Engine:
    """The engine that only looks, also while a run is live: it never writes, checkpoints or attaches another file.

    Without a log nobody writes (`has_log`), and the file is read as it is: nothing is made beside it, and a folder that
    nobody may write to will do.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "ro" if has_log(path) else "ro&immutable=1", busy_seconds)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # mode=ro alone lets ATTACH create a file
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA query_only=ON")
        return connection

    return _engine(connect, "BEGIN")


def has_log(path: Path) -> bool:
    """Whether a write-ahead log stands beside the database: a process works on it, or was killed while it did."""
    return Path(f"{os.path.realpath(path)}-wal").exists()


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at `path`: its device and inode; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unsound(connection: Connection) -> list[str]:
    """What SQLite finds wrong with the file's pages and with the rules of its tables; [] if nothing."""
    found = [str(line) for line in connection.exec_driver_sql("PRAGMA quick_check(5)").scalars()]
    return [line for line in found if line != "ok"]


def require_sound(connection: Connection, path: Path) -> None:
    """RowsDamaged if pages of the file are damaged: SQLite itself notices only those that it happens to read.

    A very large file is passed over, as it would be read for minutes: `inspect verify` reads it.
    """
    for line in () if path.stat().st_size > _READ_AT_START else unsound(connection):
        raise RowsDamaged(line)


def _connect(path: Path, mode: str, busy_seconds: float) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: this Python needs one with SQLite 3.37 or newer")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,  # transactions are ours to begin
        check_same_thread=False,  # the pool hands the connection to one thread at a time
    )


def _engine(connect: Callable[[], sqlite3.Connection], begin: str) -> Engine:
    engine = create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=5.0
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def empty_log(engine: Engine) -> bool:
    """Moves the write-ahead log into the database; False, at once, if a reader is in the way."""
    raw = engine.raw_connection()
    cursor = raw.cursor()
    patience = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
    try:  # not allowed in a transaction, so it goes round the engine's BEGIN
        cursor.execute("PRAGMA busy_timeout=0")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        cursor.execute(f"PRAGMA busy_timeout={patience}")
        raw.close()
    return not busy


class OwnFiles:
    """A database and its logs, as the files that they were when each was first seen."""

    def __init__(self, path: Path) -> None:
        self._places = [Path(f"{os.path.realpath(path)}{end}") for end in ("", "-wal", "-shm")]
        self._seen: dict[Path, tuple[int, int]] = {}  # device and inode

    def require(self) -> None:
        """StoreError if one was removed or replaced since."""
        for place in self._places:
            now = identity(place)
            if now is not None:
                self._seen.setdefault(place, now)
            if self._seen.get(place) != now:
                raise StoreError(
                    f"{place} was removed or replaced while this process worked on it: what was stored until then is "
                    "where it went; put it back, then resume"
                )


def existing(path: Path) -> Path:
    """The path of a database that is there. StoreError otherwise."""
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"there is no run database at {path}: check the run's name or folder")
    if path.stat().st_size == 0:  # SQLite takes an empty file for a new database, and writes to it
        raise StoreError(f"{path} is empty: restore it from a backup")
    return path
