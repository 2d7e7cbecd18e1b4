"""An open database, for one process that writes or any number that read. store.py has what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from store import reading, sealing
from store.connections import OwnFiles, existing, has_log, reader_engine, require_sound, writer_engine
from store.errors import Locked, StoreError, translated
from store.upgrade import require_current

_NEWEST_STEPS = 64  # that the log may hold pages of; it is moved into the database at every checkpoint


class OpenDatabase:
    """A context manager, made by `open` or `open_readonly`; not to be forked."""

    def __init__(self, path: Path, engine: Engine, *, read_only: bool) -> None:
        self.path = path
        self._engine = engine
        self._read_only = read_only
        self._files = OwnFiles(path)
        self._has_no_log = read_only and not has_log(path)

    @classmethod
    def open(cls, path: Path, *, busy_seconds: float = 10.0) -> Self:
        """Opens a run's database for writing. StoreError if it is missing, no run's, locked, older or newer."""
        path = existing(path)
        if has_log(path):
            with cls.open_readonly(path, busy_seconds=busy_seconds) as seen:
                seen.require_own_log()
        return cls._checked(path, writer_engine(path, busy_seconds=busy_seconds), read_only=False)

    @classmethod
    def open_readonly(cls, path: Path, *, busy_seconds: float = 10.0) -> Self:
        """Opens a run's database for reading, also while the run is live. Writing raises StoreError."""
        path = existing(path)
        return cls._checked(path, reader_engine(path, busy_seconds=busy_seconds), read_only=True)

    @classmethod
    def _checked(cls, path: Path, engine: Engine, *, read_only: bool) -> Self:
        store = cls(path, engine, read_only=read_only)
        try:
            with store._reading() as connection:
                require_current(connection, path)
                if not read_only:
                    require_sound(connection, path)
            if not read_only:
                store.require_own_files()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Closes the database. Closing twice does nothing."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def require_own_files(self) -> None:
        """StoreError if the database or its log is no longer the file that was opened. Checked before every commit.

        SQLite goes on writing to a file that was removed. What is committed there is lost when the process ends.
        """
        self._files.require()

    def require_own_log(self) -> None:
        """StoreError if the log beside the database is not its own, as after an older copy of one was put back.

        It is checked through a reader before a writer opens the database, since a writer moves the log into it.
        """
        with self._reading() as connection:
            # unlike quick_check this compares indexes with tables, which differ where some pages are of another moment
            lines = [str(line) for line in connection.exec_driver_sql("PRAGMA integrity_check(5)").scalars()]
            newest = reading.step_ids(connection)[-_NEWEST_STEPS:]
            found = [line for line in lines if line != "ok"]
            found += [*sealing.damaged_parts(connection), *sealing.damages(connection, newest)]
        if found:
            raise StoreError(
                f"{self.path} and the log beside it, {self.path.name}-wal, do not belong together, or are damaged "
                f"({found[0]}); nothing was changed. Put back the log of the same moment, or "
                "move this log away to go on with the database alone"
            )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(self.path), self._engine.begin() as connection:
            yield connection
        if self._has_no_log and has_log(self.path):  # what was read without a lock may be half old and half new
            raise Locked(f"{self.path}: a process began to work on it while it was looked at: try again")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._refuse_read_only()
        with translated(self.path), self._engine.begin() as connection:
            yield connection
            self.require_own_files()

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise StoreError(f"{self.path} is open to look at only: open it for writing")
