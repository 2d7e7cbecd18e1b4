"""`inspect sql` and `inspect export`: a run's database asked in SQL, and as Parquet files."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.outlet import complain, tell
from selfplay.machine.run_folder import DATABASE
from selfplay.view import queries
from selfplay.view.charts.csv_text import csv_text
from selfplay.view.commands import RUNS, Directory, RunArgument
from selfplay.view.database.relation_values import relation_values
from selfplay.view.terminal import AsJson, say, say_json, say_table
from store.sql.relations import Relation, relations
from store.sql.store import Answer, Cell, SqlStore


def sql(
    run: RunArgument,
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="One SELECT. Without it: the tables and views there are.")
    ] = None,
    directory: Directory = RUNS,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    seconds: Annotated[float, typer.Option(min=0.1, help="At most so long.")] = 30.0,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, nothing else.")] = False,
) -> None:
    """Ask a run's database in SQL: one SELECT, read-only (docs/database.md). Without one: its tables and views.

    A NULL is an empty cell, and null in JSON; a blob is its size in a table, and its hexadecimal digits elsewhere.
    """
    if as_json and as_csv:
        raise Refused("--json and --csv are two answers: take one", USAGE)
    with SqlStore.open_readonly(queries.run_folder(run, directory) / DATABASE) as store:
        if query is None:
            return _say_relations(
                {each: store.num_rows(each) for each in relations() if not each.is_view}, as_json, as_csv
            )
        answer = store.ask(query, limit, seconds)
    if answer.cut:
        complain(answer.cut)
    if as_json:
        return say_json({"rows": _rows(answer), "is_cut": bool(answer.cut)})
    if as_csv:
        return tell(csv_text(_rows(answer), answer.columns))
    rows = [{name: _shown(cell) for name, cell in zip(answer.columns, row, strict=True)} for row in answer.rows]
    return say_table(rows, "1 row" if len(rows) == 1 else f"{len(rows):,} rows")


def _say_relations(counts: dict[Relation, int], as_json: bool, as_csv: bool) -> None:
    rows = [
        {"name": each.name, "is": "view" if each.is_view else "table", "rows": counts.get(each)}
        | {"what it has": each.description, "columns": ", ".join(column.name for column in each.columns)}
        for each in relations()
    ]
    if as_json:
        return say_json([relation_values(each) | {"rows": counts.get(each)} for each in relations()])
    if as_csv:
        return tell(csv_text(rows))
    say_table(rows, "views, for people, and the tables that they are made of", longest=2000)
    return say('ask with: inspect sql RUN "select * from v_problems limit 10"    (docs/database.md has every column)')


def _rows(answer: Answer) -> list[dict[str, Any]]:
    return [{name: _plain(cell) for name, cell in zip(answer.columns, row, strict=True)} for row in answer.rows]


def _plain(cell: Cell) -> Any:
    """As JSON and CSV can have it: they know no blobs, and JSON no infinities."""
    if isinstance(cell, bytes):
        return cell.hex()
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


def _shown(cell: Cell) -> Any:
    return f"({len(cell):,} bytes)" if isinstance(cell, bytes) else cell


def export(
    run: RunArgument,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A file for each table and view goes into this new folder.")
    ] = None,
    directory: Directory = RUNS,
    replace: Annotated[bool, typer.Option(help="Take the place of an export that is already there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every table and view of a run's database as Parquet files, for pandas, polars or DuckDB (docs/database.md).

    The folder is there whole or not at all. All files are as of one moment, also while the run is at work.
    """
    from selfplay.view.database.export import Exported, export_parquet

    if parquet is None:
        raise Refused("what is exported, and where to? Give --parquet FOLDER", USAGE)

    def told(file: Exported) -> None:
        size = " so far" if file.bytes is None else f", {file.bytes:,} bytes"
        odd = f"; {_odd(file.odd)}" if file.odd else ""
        complain(f"{file.name}: {file.rows:,} rows{size}{odd}")

    with SqlStore.open_readonly(queries.run_folder(run, directory) / DATABASE) as store:
        files = export_parquet(store, parquet, replace, told)
    if as_json:
        return say_json(
            {"folder": str(parquet), "files": [{"name": f.name, "rows": f.rows, "bytes": f.bytes} for f in files]}
        )
    return say(f"wrote {len(files)} files to {parquet}")


def _odd(count: int) -> str:
    return (
        "1 value that is no time was left empty" if count == 1 else f"{count} values that are no times were left empty"
    )
