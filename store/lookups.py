"""Snapshots, and single facts about steps that can be had without reading every step of a long history.

Each function works inside the caller's transaction.
"""

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from store import sealing
from store.reading import LIVE, head_row, step_of
from store.records import SnapshotRow, StepRow
from store.schema import runs, snapshots, steps


def journal_rows(connection: Connection) -> list[StepRow]:
    """Steps that name a journal, abandoned ones too."""
    return [step_of(row) for row in connection.execute(select(steps).where(steps.c.journal_file.is_not(None)))]


def step_seconds(connection: Connection) -> float:
    """Seconds of all live steps together."""
    return float(connection.execute(select(func.sum(steps.c.seconds)).where(LIVE)).scalar() or 0.0)


def last_step(connection: Connection) -> int:
    """The highest number that any step has, abandoned ones too."""
    return int(connection.execute(select(func.max(steps.c.step))).scalar() or 0)


def is_any_step(connection: Connection, condition: ColumnElement[bool]) -> bool:
    """Whether there is such a step, abandoned ones too."""
    return connection.execute(select(steps.c.step_id).where(condition).limit(1)).first() is not None


def snapshot_rows(connection: Connection) -> list[SnapshotRow]:
    """The snapshots of live steps, newest first."""
    columns = (steps.c.step, steps.c.step_id, steps.c.game_seal, snapshots.c.label, snapshots.c.packed)
    query = select(*columns).join(snapshots, snapshots.c.step_id == steps.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step.desc()))
    return [SnapshotRow(row.step, step_digest(row.step_id, row.game_seal), row.label, row.packed) for row in found]


def head_digest(connection: Connection) -> str:
    """`step_digest` of the head."""
    query = select(steps.c.step_id, steps.c.game_seal).join(runs, runs.c.head_step_id == steps.c.step_id)
    return step_digest(*connection.execute(query).one())


def step_digest(step_id: int, game_seal: str) -> str:
    """Identifies a stored step and what the curriculum folds of it."""
    return f"{step_id} {game_seal}"


def replace_snapshots(connection: Connection, label: str, packed: bytes, kept: int) -> None:
    """Stores a snapshot of the head. Of all, the newest `kept` stay."""
    step_id = head_row(connection).step_id
    old = select(snapshots.c.step_id).order_by(snapshots.c.step_id.desc()).offset(kept - 1)
    connection.execute(delete(snapshots).where(snapshots.c.step_id == step_id))
    connection.execute(delete(snapshots).where(snapshots.c.step_id.in_(old)))
    connection.execute(insert(snapshots), {"step_id": step_id, "label": label, "packed": packed})
    sealing.reseal(connection, sealing.SNAPSHOTS)
