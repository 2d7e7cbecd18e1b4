"""Connections to SQLite: one writer, and readers that do not disturb it.

Only the writer moves the write-ahead log into the database (a "checkpoint" to SQLite): before SQLite 3.51.3, two
connections that did so at once could damage it. An engine must not be used across a fork; a child opens the store
again. Left out: pools. An engine has one connection, so that a transaction inside another is an error, not a deadlock.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from store.errors import RowsDamaged, StoreError

_READ_AT_START = 2 << 30  # bytes; takes some ten seconds
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


def writer_engine(path: Path, *, create: bool = False, busy_seconds: float = 10.0, foreign_keys: bool = True) -> Engine:
    """The engine that writes. A transaction begins with BEGIN IMMEDIATE, and is on disk when its commit returns.

    `foreign_keys=False` is for migrations, which rebuild tables that others refer to. `create` is for a new database
    under a temporary name. It has no write-ahead log, so that a full disk leaves one file behind and not two.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rwc" if create else "rw", busy_seconds)
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute(f"PRAGMA journal_mode={'DELETE' if create else 'WAL'}")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    return _engine(connect, "BEGIN IMMEDIATE")


def reader_engine(path: Path, *, busy_seconds: float = 10.0) -> Engine:
    """The engine that only reads, also while a run is live. It never checkpoints, nor attaches another file.

    Without a log beside it nobody writes to the database (`has_log`), so the file is opened as immutable. Nothing is
    made beside it then, and its folder may be read-only.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "ro" if has_log(path) else "ro&immutable=1", busy_seconds)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # mode=ro alone lets ATTACH create a file
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA query_only=ON")
        return connection

    return _engine(connect, "BEGIN")


def has_log(path: Path) -> bool:
    """Whether a write-ahead log stands beside the database, because a process works on it or was killed."""
    return Path(f"{os.path.realpath(path)}-wal").exists()


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at `path`; None if there is none."""
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
    """RowsDamaged if pages of the file are damaged. Without this, SQLite notices only damaged pages that it reads.

    A file above 2 GB is not checked, since that would take minutes at every start; `Store.damages` always checks.
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
    try:  # not allowed in a transaction, so the engine's BEGIN is bypassed
        cursor.execute("PRAGMA busy_timeout=0")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        cursor.execute(f"PRAGMA busy_timeout={patience}")
        raw.close()
    return not busy


class OwnFiles:
    """The files of a database and its logs, told by device and inode, as each was when it was first seen."""

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
