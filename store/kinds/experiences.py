"""What came of actions that nobody was paid for: rows of early experience, both ways.

Each function works inside the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from store import sealing
from store.encoding import clean_text
from store.reading import LIVE
from store.records import Experience
from store.schema import experiences, steps
from store.writing import insert_rows

_TEXTS = ("state", "action", "next_state", "reflection")
_FLAGS = ("is_expert", "is_right", "is_kept")


def insert_experiences(connection: Connection, found: Sequence[Experience], step_id: int) -> None:
    """Inserts the experiences of a step."""
    rows = [{"step_id": step_id, **_row(each)} for each in found]
    insert_rows(connection, experiences, rows)
    if rows:
        stored = connection.execute(select(experiences).where(experiences.c.step_id == step_id))
        sealing.toggle(connection, sealing.EXPERIENCES, *map(sealing.row_digest, stored))


def experience_records(connection: Connection, step: int | None = None) -> list[tuple[int, Experience]]:
    """Live experiences with their step, or those of one step, in order."""
    sealing.check_part(connection, sealing.EXPERIENCES)
    table = experiences
    query = select(table, steps.c.step).join(steps, steps.c.step_id == table.c.step_id).where(LIVE)
    if step is not None:
        query = query.where(steps.c.step == step)
    order = (steps.c.step, table.c.problem_id, table.c.state_index, table.c.place)
    rows = [row._asdict() for row in connection.execute(query.order_by(*order))]
    return [(row.pop("step"), _record(row)) for row in rows]


def _row(each: Experience) -> dict[str, object]:
    row = asdict(each)
    row |= {name: clean_text(row[name]) for name in _TEXTS if row[name] is not None}
    return row | {name: int(row[name]) for name in _FLAGS if row[name] is not None}


def _record(row: dict[str, object]) -> Experience:
    flags = {name: bool(row[name]) for name in _FLAGS if row[name] is not None}
    return Experience(**{name: value for name, value in {**row, **flags}.items() if name != "step_id"})  # type: ignore[arg-type]
