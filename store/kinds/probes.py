"""Probes, what the weights of checkpoints answered to them, and which weights were picked: their rows, both ways.

Each function works inside the caller's transaction. Rows of a step that was left behind are offered no more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from store import sealing
from store.encoding import finite
from store.errors import StoreError
from store.reading import LIVE
from store.records import Pick, Probe, ProbeKind
from store.schema import picks, probe_answers, probes, steps
from store.writing import insert_rows


def insert_probes(connection: Connection, taken: Sequence[Probe], step_id: int) -> None:
    """Inserts what became a probe in a step."""
    rows = [
        {"step_id": step_id, "problem_id": each.problem_id, "kind": each.kind.value, "rate": each.rate}
        for each in taken
    ]
    _insert(connection, probes, sealing.PROBES, rows)


def probe_records(connection: Connection) -> list[tuple[int, Probe]]:
    """Live probes with the step that took each, oldest first."""
    sealing.check_part(connection, sealing.PROBES)
    query = select(probes, steps.c.step).join(steps, steps.c.step_id == probes.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, probes.c.problem_id))
    return [(row.step, Probe(row.problem_id, ProbeKind(row.kind), row.rate)) for row in found]


def insert_answers(connection: Connection, step: int, answers: Mapping[str, bool]) -> None:
    """Inserts what the weights of a live step answered. StoreError where one was answered already."""
    step_id = _live(connection, step)
    rows = [{"step_id": step_id, "problem_id": each, "is_right": int(right)} for each, right in answers.items()]
    _insert(connection, probe_answers, sealing.PROBE_ANSWERS, rows)


def answer_records(connection: Connection) -> dict[int, dict[str, bool]]:
    """By live step, what its weights answered: problem_id -> whether it is right."""
    sealing.check_part(connection, sealing.PROBE_ANSWERS)
    table = probe_answers
    query = select(table, steps.c.step).join(steps, steps.c.step_id == table.c.step_id).where(LIVE)
    found: dict[int, dict[str, bool]] = {}
    for row in connection.execute(query.order_by(steps.c.step, table.c.problem_id)):
        found.setdefault(row.step, {})[row.problem_id] = bool(row.is_right)
    return found


def insert_pick(connection: Connection, pick: Pick) -> None:
    """Inserts a pick. StoreError where its step has one, or a number is not finite."""
    numbers = {name: getattr(pick, name) for name in ("product", "best_product", "standard_error")}
    counts = ("hard", "easy", "hard_solved", "easy_solved", "best_hard_solved", "best_easy_solved", "policy_version")
    row: dict[str, Any] = {
        "step_id": _live(connection, pick.step),
        "best_step_id": _live(connection, pick.best_step),
        "is_rollback": int(pick.is_rollback),
        "committed_at": pick.committed_at,
    }
    row |= {name: getattr(pick, name) for name in counts}
    row |= {name: finite(number, f"{name} of the pick at step {pick.step}") for name, number in numbers.items()}
    _insert(connection, picks, sealing.PICKS, [row])


def pick_records(connection: Connection) -> list[Pick]:
    """Live picks, oldest first."""
    sealing.check_part(connection, sealing.PICKS)
    best = steps.alias("best")
    query = (
        select(picks, steps.c.step, best.c.step.label("best_step"))
        .join(steps, steps.c.step_id == picks.c.step_id)
        .join(best, best.c.step_id == picks.c.best_step_id)
        .where(LIVE)
        .order_by(steps.c.step)
    )
    found = (row._asdict() for row in connection.execute(query))
    left_out = ("step_id", "best_step_id", "is_rollback")
    return [
        Pick(**{k: v for k, v in row.items() if k not in left_out}, is_rollback=bool(row["is_rollback"]))
        for row in found
    ]


def _insert(connection: Connection, table: Table, part: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts rows of one step and seals them, as they are read back."""
    if not rows:
        return
    mine = select(table).where(table.c.step_id == rows[0]["step_id"])
    before = set(connection.execute(mine).all())
    insert_rows(connection, table, rows)
    added = [row for row in connection.execute(mine).all() if row not in before]
    sealing.toggle(connection, part, *map(sealing.row_digest, added))


def _live(connection: Connection, step: int) -> int:
    found = connection.execute(select(steps.c.step_id).where(LIVE, steps.c.step == step)).scalar()
    if found is None:
        raise StoreError(f"the run has no step {step}")
    return int(found)
