"""Every table and view of a run's database as a Parquet file, a batch of rows at a time.

The files are written into a hidden folder beside the one that was asked for, which is renamed when all are on disk: so
what has the name is whole. Left out: reading them again, and what a checkpoint has.
"""

import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from selfplay.machine.errors import BUSY, USAGE, Refused
from store.errors import translated
from store.journal import fsync_folder
from store.kill_points import reach
from store.sql.descriptions import Kind
from store.sql.relations import Relation, relations
from store.sql.store import Cell, SqlStore, WholeDatabase

_BATCH_ROWS = 50_000
_BATCH_BYTES = 32 << 20  # of texts and blobs: a row may have 20,000 characters several times
_TOLD_EVERY = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Exported:
    """A file so far; `bytes` is None until it is whole. `odd`: values that are no time and were left empty."""

    name: str
    rows: int
    bytes: int | None = None
    odd: int = 0


Told = Callable[[Exported], None]


def export_parquet(store: SqlStore, folder: Path, is_replacing: bool, told: Told) -> list[Exported]:
    """Writes `folder`, one file `NAME.parquet` for each table and view; tells of each as it grows and ends.

    Raises Refused without pyarrow, and where something stands at `folder` that may not be replaced: with
    `is_replacing` an empty folder or an earlier export may.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise Refused("Parquet needs pyarrow: `uv sync --extra parquet`, or `uv pip install pyarrow`", USAGE)
    with translated(folder):
        _put_back(folder)
        _require_room(folder, is_replacing)
    with translated(folder), _renamed_when_whole(folder) as building, store.whole() as database:
        files = [_write(database, each, building, told) for each in relations()]
        fsync_folder(building)
        reach("export.written")
    return files


def _require_room(folder: Path, is_replacing: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise Refused(f"{folder} is no folder: give --parquet a new one", USAGE)
    found = {path.name for path in folder.iterdir()}
    if found and not is_replacing:
        raise Refused(
            f"{folder} is not empty: give --parquet a new folder, or --replace an export that is there", USAGE
        )
    if foreign := sorted(found - {_file(each) for each in relations()}):
        raise Refused(
            f"{folder} has {foreign[0]}, which is of no export: nothing was replaced; give a new folder", USAGE
        )


def _put_back(folder: Path) -> None:
    """What a replacement that was killed between its two renames had moved aside."""
    if not os.path.lexists(folder) and _hidden(folder, "before").exists():
        _hidden(folder, "before").rename(folder)


def _hidden(folder: Path, end: str) -> Path:
    place = folder.absolute()
    return place.with_name(f".{place.name}.{end}")


@contextmanager
def _renamed_when_whole(folder: Path) -> Iterator[Path]:
    """A hidden folder to write in. It takes the name at the end, and goes if anything fails."""
    place, building, before = folder.absolute(), _hidden(folder, "writing"), _hidden(folder, "before")
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(building):
        try:
            yield building
            if place.exists():
                shutil.rmtree(before, ignore_errors=True)
                place.rename(before)
            building.rename(place)
            fsync_folder(place.parent)
            shutil.rmtree(before, ignore_errors=True)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


@contextmanager
def _alone(building: Path) -> Iterator[None]:
    """The folder, new, while nobody else writes there. What a killed export left in it goes."""
    import fcntl

    building.mkdir(exist_ok=True)
    descriptor = os.open(building, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another process is writing {building}: wait for it", BUSY) from None
        for path in building.iterdir():
            path.unlink()
        yield
    finally:
        os.close(descriptor)


def _file(relation: Relation) -> str:
    return f"{relation.name}.parquet"


def _write(database: WholeDatabase, relation: Relation, folder: Path, told: Told) -> Exported:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [pyarrow.field(each.name, _arrow_type(each.kind), metadata={"description": each.description})
         for each in relation.columns],
        metadata={"description": relation.description},
    )  # fmt: skip
    path, num_rows, odd, at = folder / _file(relation), 0, 0, time.monotonic()
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in _batches(database.rows(relation)):
                values = [list(each) for each in zip(*rows, strict=True)]
                odd += sum(_make_typed(column.kind, of) for column, of in zip(relation.columns, values, strict=True))
                writer.write_batch(pyarrow.record_batch(values, schema=schema))
                num_rows += len(rows)
                if time.monotonic() - at > _TOLD_EVERY:
                    told(Exported(relation.name, num_rows))
                    at = time.monotonic()
        file.flush()
        os.fsync(file.fileno())
    reach("export.file")
    done = Exported(relation.name, num_rows, path.stat().st_size, odd)
    told(done)
    return done


def _arrow_type(kind: Kind) -> Any:
    import pyarrow

    return {
        Kind.INTEGER: pyarrow.int64(),
        Kind.REAL: pyarrow.float64(),
        Kind.TEXT: pyarrow.string(),
        Kind.BLOB: pyarrow.binary(),
        Kind.FLAG: pyarrow.bool_(),
        Kind.TIME: pyarrow.timestamp("us", tz="UTC"),
    }[kind]


def _batches(rows: Iterator[tuple[Cell, ...]]) -> Iterator[list[tuple[Cell, ...]]]:
    batch: list[tuple[Cell, ...]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _make_typed(kind: Kind, values: list[Any]) -> int:
    """Flags and times of a column into what Arrow has for them, in place; how many were no time."""
    odd = 0
    if kind is Kind.FLAG:
        values[:] = [None if each is None else bool(each) for each in values]
    elif kind is Kind.TIME:
        for place, each in enumerate(values):
            values[place] = _time(each)
            odd += each is not None and values[place] is None
    return odd


def _time(text: str | None) -> datetime | None:
    """A time with its zone; None of what is none."""
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
