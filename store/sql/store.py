"""A run's store as whoever asks in SQL has it: one query at a time, guarded, and every table and view whole."""

import difflib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from store.errors import StoreError
from store.opened import OpenDatabase
from store.sql.guard import LONGEST_VALUE, MOST_MEMORY, Guard
from store.sql.relations import Relation, relations

_CHUNK = 500  # rows that are fetched at once
_MOST_BYTES = 128 << 20  # of an answer's texts and blobs
Cell = int | float | str | bytes | None


class QueryError(StoreError):
    """A query is none, may not be asked, or takes too much. The message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of cells under the names of `columns`, which are all different. `cut`: why there are no more, "" if all."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cut: str = ""


class SqlStore(OpenDatabase):
    """Opened by `open_readonly`. Rows are not compared with their seals: `Store.damages` does that."""

    def ask(self, query: str, most_rows: int, seconds: float) -> Answer:
        """The answer to one SELECT: at most `most_rows` of its rows. QueryError where there is none.

        The query can read and nothing else. Its time is up after `seconds`; sorting and long values may take up to
        MOST_MEMORY bytes, which from then on bounds SQLite in the whole process.
        """
        guard = Guard(seconds)
        with self._reading() as connection:
            raw = _raw(connection)
            with guard.over(raw):
                try:
                    return _answered(raw.cursor(), query, most_rows)
                except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
                    if str(error) == "interrupted" and not guard.is_over:  # Ctrl-C, raised where SQLite asks the guard
                        raise KeyboardInterrupt from None
                    raise _explained(query, error, guard) from None

    def num_rows(self, relation: Relation) -> int:
        """How many rows a table has, those of abandoned steps too; or a view, which may take some time."""
        with self._reading() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {relation.name}").scalar_one())

    @contextmanager
    def whole(self) -> Iterator["WholeDatabase"]:
        """Everything as of one moment, also while the run is at work."""
        with self._reading() as connection:
            yield WholeDatabase(_raw(connection))


@dataclass(frozen=True, slots=True)
class WholeDatabase:
    """One transaction, in which every table and view can be read row by row."""

    _connection: sqlite3.Connection

    def rows(self, relation: Relation) -> Iterator[tuple[Cell, ...]]:
        """All rows, with the columns in the relation's order."""
        names = ", ".join(column.name for column in relation.columns)
        cursor = self._connection.execute(f"SELECT {names} FROM {relation.name}")
        while rows := cursor.fetchmany(_CHUNK):
            yield from rows


def _raw(connection: Connection) -> sqlite3.Connection:
    raw: Any = connection.connection.dbapi_connection
    return raw


def _answered(cursor: sqlite3.Cursor, query: str, most_rows: int) -> Answer:
    cursor.execute(query)
    if cursor.description is None:
        raise QueryError('the query is empty: give one, such as "select * from v_problems limit 10"')
    columns = _different([str(each[0]) for each in cursor.description])
    rows: list[tuple[Cell, ...]] = []
    size = 0
    for row in cursor:
        if len(rows) == most_rows:
            return Answer(columns, tuple(rows), f"only the first {most_rows:,} rows are shown: --limit shows more")
        size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if size > _MOST_BYTES:
            return Answer(
                columns, tuple(rows), f"only {len(rows):,} rows are shown: more take over {_MOST_BYTES >> 20} MiB"
            )
        rows.append(row)
    return Answer(columns, tuple(rows))


def _different(names: Sequence[str]) -> tuple[str, ...]:
    """A name that stands twice gets a number: a, a -> a, a:2."""
    found: list[str] = []
    for name in names:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name}:{number}"
        found.append(own)
    return tuple(found)


def _explained(query: str, error: Exception, guard: Guard) -> QueryError:
    """What was wrong with a query, in one line."""
    text = str(error)
    if isinstance(error, QueryError):
        return error
    if guard.is_over:
        return QueryError(
            f"the query was stopped after {guard.seconds:g} s: ask for less, or give it more with --seconds"
        )
    if guard.refused:
        return QueryError(f"only what reads is answered, a SELECT; this asks for {guard.refused}; nothing was changed")
    if isinstance(error, MemoryError) or "out of memory" in text:
        return QueryError(f"the query takes more than {MOST_MEMORY >> 20} MiB of memory: sort or group fewer rows")
    if "string or blob too big" in text:
        return QueryError(
            f"a value of the answer is longer than {LONGEST_VALUE >> 20} MiB: take a part of it with substr()"
        )
    if "one statement" in text:
        return QueryError("this is more than one statement: ask them one after the other")
    if isinstance(error, UnicodeEncodeError) or "null character" in text:
        return QueryError("the query has characters that no query can have: a NUL, or bytes that are no UTF-8")
    return QueryError(f"{text}{_meant(text)}")


def _meant(text: str) -> str:
    """What there is beside what was asked for: ": did you mean v_problems, problems?"."""
    known = relations()
    if found := re.fullmatch(r"no such table: (?:main\.)?(.*)", text, re.DOTALL):
        names = _close(found[1], [each.name for each in known])
        if names:
            return f": did you mean {', '.join(names)}?"
        return f": there are {', '.join(each.name for each in known if each.is_view)}; without a query all are listed"
    if found := re.fullmatch(r"no such column: (?:.*\.)?(.*)", text, re.DOTALL):
        columns: dict[str, list[str]] = {}
        for each in known:
            for column in each.columns:
                columns.setdefault(column.name, []).append(each.name)
        names = _close(found[1], list(columns))
        said = [
            f"{name} (in {', '.join(columns[name][:4])}{' ...' if len(columns[name]) > 4 else ''})" for name in names
        ]
        return f": did you mean {' or '.join(said)}?" if said else ": without a query all columns are listed"
    return ""


def _close(name: str, names: Sequence[str]) -> list[str]:
    """Names that are much like it, or have it in them: at most four."""
    asked = name.strip("\"'`[] ").lower()[:80]
    within = [each for each in names if len(asked) > 2 and (asked.rstrip("s") in each or each in asked)]
    return list(dict.fromkeys([*difflib.get_close_matches(asked, names, 3, 0.7), *within]))[:4]
