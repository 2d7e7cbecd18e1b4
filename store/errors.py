"""What can go wrong in the store, each as one clear line, and the one place that translates SQLite's errors.

A message says what is wrong. Which command mends it is known to whoever shows it (selfplay/machine/exits.py), so what
can be mended by a command has a class of its own here. Left out: retries. The store has one writer, so a lock that
outlives the busy timeout is somebody else's mistake.
"""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # a full disk, a quota, a limit on a file's size
_DISK = _NO_ROOM | {errno.EIO}
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # safetensors has the number in its words only


class SelfplayError(Exception):
    """Of every failure that a user can cause or meet, in whichever package. The message is one line."""


class StoreError(SelfplayError):
    """The store refuses or cannot do what was asked. The message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DiskFull(StoreError):
    """There is no room to write, or the disk fails. Nothing committed is lost; it has an exit code of its own."""


class ClockError(StoreError):
    """The machine's clock shows a time that programs cannot count with. Nothing is damaged."""


class Locked(StoreError):
    """Another process holds the database. Nothing is damaged: an exit code of its own says so."""


class Damaged(StoreError):
    """Rows of the database in `folder` are not what was stored."""

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


class Outdated(StoreError):
    """The database in `folder` has an older schema than the code. It can be migrated."""

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


class NoSuchProblem(StoreError):
    """No problem has such an id, or more than one has."""


class RowsDamaged(Exception):
    """Rows are not what was stored. The message names them; `translated` makes a `Damaged` of it."""


class JournalError(StoreError):
    """A journal cannot be written, or not be read."""


class JournalLost(JournalError):
    """A journal that is needed is missing, damaged, or of no update of this run: the run can only go back."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite, SQLAlchemy and the file system about `path` into StoreError, Locked or DiskFull."""
    try:
        yield
    except RowsDamaged as error:
        raise Damaged(
            f"{path} is damaged: {error}: not what was stored; restore a backup of the whole folder, or start the run "
            "again under another name",
            path.parent,
        ) from error
    except DBAPIError as error:
        raise _explain(path, error.orig or error) from error
    except (sqlite3.Error, OSError, OverflowError, UnicodeEncodeError) as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: BaseException) -> StoreError:
    if isinstance(error, OSError):
        return disk_full(path, str(error)) if is_disk_error(error) else StoreError(f"{path}: {error}")
    if isinstance(error, OverflowError) and "timestamp" in str(error):
        return ClockError(f"this machine's clock is wrong: set it, then go on; nothing is damaged [{error}]")
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return StoreError(f"{path}: a value does not fit the database: {error}")
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    text = str(error)
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and not _is_cut(error)):
        return disk_full(path, text)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Locked(
            f"{path} is locked by another process (a second one that works on this run, or a database browser "
            f"with unsaved edits): close it and try again [{text}]"
        )
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreError(f"{path} is not a database or is damaged: restore it from a backup [{text}]")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(f"{path} cannot be opened or written: check the path and its permissions [{text}]")
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return StoreError(f"{path} refused a row that breaks its rules; nothing of it was written [{text}]")
    return StoreError(f"{path}: the database failed [{text}]")


def is_disk_error(error: BaseException) -> bool:
    """Whether a disk is full, a quota or a limit is reached, or the disk itself fails, whichever library says so."""
    return _number(error) in _DISK


def disk_full(path: Path, text: str) -> DiskFull:
    """The error for a disk that takes no more. `text` is what the system said."""
    is_full = "No space left" in text or "is full" in text
    why = "is full: free some space" if is_full else "takes no more (a quota, ulimit -f, or it fails): see to it"
    return DiskFull(f"the disk that holds {path} {why}, then resume; nothing committed is lost [{text}]")


def _number(error: BaseException) -> int | None:
    found = getattr(error, "errno", None)
    said = _RUST_ERROR.search(str(error)) if found is None else None
    return int(said[1]) if said else found


def _is_cut(error: BaseException) -> bool:
    """Whether the database's file is shorter than its pages, which is damage and not a failing disk."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ
