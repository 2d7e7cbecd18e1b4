"""The members of the held-out sets, stored once a run. An evaluation's `outcomes` has one digit for each, in order."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from store import sealing
from store.encoding import clean_text
from store.records import Problem
from store.schema import held_out
from store.writing import insert_rows


def note(connection: Connection, sets: Mapping[str, Sequence[Problem]]) -> list[str]:
    """Inserts the members where there are none yet. Else returns the names of sets that differ from those stored."""
    given = {name: [_row(p, name, i) for i, p in enumerate(members)] for name, members in sets.items() if members}
    sealing.check_part(connection, sealing.HELD_OUT)
    stored: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(select(held_out).order_by(held_out.c.set_name, held_out.c.position)).mappings():
        stored.setdefault(row["set_name"], []).append(dict(row))
    if stored:
        return sorted(name for name in given.keys() | stored.keys() if given.get(name) != stored.get(name))
    for rows in given.values():
        insert_rows(connection, held_out, rows)
    sealing.reseal(connection, sealing.HELD_OUT)
    return []


def _row(problem: Problem, set_name: str, position: int) -> dict[str, Any]:
    return {
        "set_name": set_name,
        "position": position,
        "problem_id": problem.problem_id,
        "text": clean_text(problem.text),
        "canonical": clean_text(problem.canonical),
        "family": problem.family,
        "level": problem.level,
        "answer": clean_text(problem.answer),
    }
