"""Groups of attempts at problems that are being rescued: their rows, both ways.

Each function works inside the caller's transaction. Rows of a step that was left behind are offered no more.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from store import sealing
from store.reading import LIVE
from store.records import HelpKind, Rescue
from store.schema import rescues, steps
from store.writing import insert_rows


def insert_rescues(connection: Connection, made: Sequence[Rescue], step_id: int) -> None:
    """Inserts and seals what a step tried of rescues."""
    if not made:
        return
    insert_rows(connection, rescues, [asdict(each) | {"step_id": step_id, "kind": each.kind.value} for each in made])
    stored = connection.execute(select(rescues).where(rescues.c.step_id == step_id))
    sealing.toggle(connection, sealing.RESCUES, *map(sealing.row_digest, stored))


def rescue_records(connection: Connection) -> list[tuple[int, Rescue]]:
    """Live ones with the step of each, oldest first."""
    sealing.check_part(connection, sealing.RESCUES)
    query = select(rescues, steps.c.step).join(steps, steps.c.step_id == rescues.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, rescues.c.problem_id))
    return [
        (
            row.step,
            Rescue(row.problem_id, HelpKind(row.kind), row.given, row.pieces, row.attempts, row.successes),
        )
        for row in found
    ]
