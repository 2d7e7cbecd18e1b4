"""The tables and views of a run's database as people are shown them: columns, keys, references, descriptions. Pure."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import create_engine, inspect

from store.schema import metadata
from store.sql.descriptions import COLUMNS, TABLES, Kind
from store.sql.views import VIEWS


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """`refers_to`: the table whose row it names, "" where it names none."""

    name: str
    kind: Kind
    description: str
    is_key: bool = False
    refers_to: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or a view, whose `query` is what it is made by ("" of a table)."""

    name: str
    description: str
    columns: tuple[ShownColumn, ...]
    query: str = ""

    @property
    def is_view(self) -> bool:
        return bool(self.query)


def tables() -> list[Relation]:
    """Every table in the order of the schema."""
    return [
        Relation(
            table.name,
            TABLES[table.name],
            tuple(_column(table.name, column.name, column.primary_key, _referred(column)) for column in table.columns),
        )
        for table in metadata.tables.values()
    ]


def views() -> list[Relation]:
    """Every view in the order of the code."""
    return [
        Relation(
            name, view.description, tuple(_column(name, each) for each in _view_columns()[name]), view.query.strip()
        )
        for name, view in VIEWS.items()
    ]


def relations() -> list[Relation]:
    """Views first: they are what people ask."""
    return [*views(), *tables()]


def _column(relation: str, name: str, is_key: bool = False, refers_to: str = "") -> ShownColumn:
    found = COLUMNS.get(f"{relation}.{name}") or COLUMNS[name]
    return ShownColumn(name, found.kind, found.description, is_key, refers_to)


def _referred(column: Any) -> str:
    return next((key.column.table.name for key in column.foreign_keys), "")


@cache
def _view_columns() -> dict[str, tuple[str, ...]]:
    """The names of each view's columns, as the database itself has them of an empty schema."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for name, view in VIEWS.items():
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {view.query.strip()}")
        look = inspect(connection)
        found = {name: tuple(each["name"] for each in look.get_columns(name)) for name in VIEWS}
    engine.dispose()
    return found
