"""What a query of anybody's may do to a connection: read, for some time, with some memory. Nothing else.

A database that is opened to read, and query_only, still lets a statement attach a file, change a setting, load a
library, or run for ever. So each action that SQLite is about to take is asked for here, and only reading is let pass.
Left out: a limit on one single call of a function, in which SQLite asks nobody; values are kept short instead.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_OPERATIONS = 20_000  # of SQLite's machine between two looks at the clock: a few thousandths of a second
LONGEST_VALUE = 64 << 20  # bytes
MOST_MEMORY = 1 << 30  # bytes, of SQLite in this process; sorting happens there too and makes no files

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
# SQLite declares these tables at their first use, and that would be asked for as a change of the schema.
_MADE_AT_FIRST_USE = ("json_each", "json_tree", *(f"pragma_{name}" for name in sorted(_PRAGMAS)))
_FUNCTIONS = {"load_extension", "fts3_tokenizer", "edit", "readfile", "writefile"}  # refused; most builds lack them
_WRITING = {
    sqlite3.SQLITE_INSERT: "INSERT INTO {}",
    sqlite3.SQLITE_UPDATE: "UPDATE {}",
    sqlite3.SQLITE_DELETE: "DELETE FROM {}",
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_TRANSACTION: "{}",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
    sqlite3.SQLITE_PRAGMA: "PRAGMA {}",
    sqlite3.SQLITE_FUNCTION: "{1}()",
}


@dataclass(slots=True)
class Guard:
    """Watches one query. `refused`: what it asked for and did not get. `is_over`: its time was up."""

    seconds: float
    refused: str = ""
    is_over: bool = False
    _deadline: float = field(default=0.0)

    @contextmanager
    def over(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Within, the connection does what this lets it."""
        length = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        for table in _MADE_AT_FIRST_USE:
            connection.execute(f"SELECT 1 FROM {table}('') LIMIT 0")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(
            f"PRAGMA hard_heap_limit={MOST_MEMORY}"
        )  # of the whole process, and it is never raised again
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.text_factory = _text
        self._deadline = time.monotonic() + self.seconds
        connection.set_authorizer(self._asked)
        connection.set_progress_handler(self._watched, _OPERATIONS)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)
            connection.set_authorizer(None)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
            connection.text_factory = str

    def _asked(self, action: int, one: str | None, two: str | None, database: str | None, by: str | None) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() not in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (one or "").lower() in _PRAGMAS:
            return sqlite3.SQLITE_OK
        is_of_schema = one in ("sqlite_master", "sqlite_temp_master")
        asked = "a change of the schema" if is_of_schema else _WRITING.get(action, "a change").format(one, two)
        self.refused = self.refused or asked
        return sqlite3.SQLITE_DENY

    def _watched(self) -> int:
        self.is_over = self.is_over or time.monotonic() > self._deadline
        return self.is_over


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
