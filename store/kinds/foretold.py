"""What was foretold of problems before anybody had tried them: rows of their first groups, both ways.

Each function works inside the caller's transaction. Rows of a step that was left behind are offered no more.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from store import sealing
from store.encoding import finite
from store.reading import LIVE
from store.records import Foretold
from store.schema import foretold, steps
from store.writing import insert_rows

_NUMBERS = ("beta_mean", "beta_strength", "features_mean", "features_strength")


def insert_foretold(connection: Connection, found: Sequence[Foretold], step_id: int) -> None:
    """Inserts and seals what was foretold of a step. StoreError for a number that is not finite."""
    if not found:
        return
    for each in found:
        for name in _NUMBERS:
            finite(getattr(each, name), f"{name} of problem {each.problem_id}")
    insert_rows(connection, foretold, [asdict(each) | {"step_id": step_id} for each in found])
    stored = connection.execute(select(foretold).where(foretold.c.step_id == step_id))
    sealing.toggle(connection, sealing.FORETOLD, *map(sealing.row_digest, stored))


def foretold_records(connection: Connection) -> list[tuple[int, Foretold]]:
    """Live ones with the step of each, oldest first."""
    sealing.check_part(connection, sealing.FORETOLD)
    query = select(foretold, steps.c.step).join(steps, steps.c.step_id == foretold.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, foretold.c.problem_id))
    return [(row.step, Foretold(row.problem_id, *(getattr(row, name) for name in _NUMBERS))) for row in found]
