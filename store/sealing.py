"""Seals: digests by which a row that was changed, moved, added or lost is noticed when it is read.

A step has three seals. `game_seal` covers what the curriculum folds over: problems, proposals, pass rates. `said_seal`
covers attempts, turns, searched trees and the waves that the step consumed. `seal` covers the step's own row, with the
other two. Rows that belong to no step are sealed by part (`PARTS`): a part has one row in the table `seals`, with the
XOR of the digests of all its rows, so that a change costs no more than the rows that it touches.

A seal is made from rows as they are read back, not as they were written. Seals detect accidents. They have no key, so
whoever forges a row can forge its seal. Left out: which rows are checked when (reading.py, Store.damages).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, delete, insert, select, update
from xxhash import xxh3_128_intdigest

from store.errors import RowsDamaged
from store.schema import (
    alarms,
    attempts,
    checkpoints,
    completions,
    disagreements,
    evaluations,
    experiences,
    foretold,
    held_out,
    incarnations,
    pass_rates,
    picks,
    probe_answers,
    probes,
    problems,
    proposals,
    rescues,
    runs,
    seals,
    search_nodes,
    skill_picks,
    skill_rounds,
    skills,
    snapshots,
    steps,
    turns,
    waves,
)

_SEAL = list(steps.c.keys()).index("seal")
_WHOLE: Mapping[str, Table] = {
    "the run": runs,
    "its processes": incarnations,
    "its evaluations": evaluations,
    "its checkpoints": checkpoints,
    "its held-out sets": held_out,
    "its snapshots": snapshots,
    "its alarms": alarms,
    "its disagreements": disagreements,
    "its probes": probes,
    "the answers to its probes": probe_answers,
    "its picks": picks,
    "its rounds of skills": skill_rounds,
    "its skills": skills,
    "its rescues": rescues,
    "its experiences": experiences,
    "its forecasts": foretold,
    "its picks of skills": skill_picks,
}
RUN, PROCESSES, EVALUATIONS, CHECKPOINTS, HELD_OUT, SNAPSHOTS, ALARMS, DISAGREEMENTS, *_LATER = _WHOLE
PROBES, PROBE_ANSWERS, PICKS, ROUNDS, SKILLS, RESCUES, EXPERIENCES, FORETOLD, SKILL_PICKS = _LATER
PENDING, STEPS = "its pending waves", "its steps"
PARTS = (*_WHOLE, PENDING, STEPS)


def row_digest(row: Iterable[Any]) -> int:
    """The digest of one row, with its columns in the schema's order."""
    return xxh3_128_intdigest(_text(list(row)))


def rows_seal(*tables: Iterable[Iterable[Any]]) -> str:
    """The seal of the rows of several tables, each in an order that the rows themselves determine."""
    return f"{xxh3_128_intdigest(_text([[list(row) for row in rows] for rows in tables])):032x}"


def game_queries(step_id: int) -> list[Select[Any]]:
    """Queries for the rows that `game_seal` covers, in its order."""
    return [
        select(problems).where(problems.c.admitted_step_id == step_id).order_by(problems.c.ordinal),
        select(proposals).where(proposals.c.step_id == step_id).order_by(proposals.c.ordinal),
        select(pass_rates).where(pass_rates.c.step_id == step_id).order_by(pass_rates.c.ordinal),
    ]


def said_queries(step_id: int) -> list[Select[Any]]:
    """Queries for the rows that `said_seal` covers, in its order."""
    own = [
        select(table).where(table.c.step_id == step_id).order_by(*table.primary_key)
        for table in (attempts, turns, search_nodes)
    ]
    consumed = waves.c.consumed_step_id == step_id
    said = select(completions).join(waves, waves.c.wave_id == completions.c.wave_id).where(consumed)
    return [*own, select(waves).where(consumed).order_by(waves.c.wave_id), said.order_by(*completions.primary_key)]


def step_seal(row: Sequence[Any]) -> str:
    """The seal of a step's own row, without the column `seal`."""
    return f"{row_digest((*row[:_SEAL], *row[_SEAL + 1 :])):032x}"


def seal_step(connection: Connection, step_id: int, *, with_rows: bool) -> None:
    """Seals a step anew after its row was changed; with `with_rows`, also after rows that belong to it were."""
    mine = steps.c.step_id == step_id
    if with_rows:
        new = {
            "game_seal": rows_seal(*(connection.execute(query) for query in game_queries(step_id))),
            "said_seal": rows_seal(*(connection.execute(query) for query in said_queries(step_id))),
        }
        connection.execute(update(steps).where(mine).values(new))
    row = connection.execute(select(steps).where(mine)).one()
    seal = step_seal(row)
    connection.execute(update(steps).where(mine).values(seal=seal))
    toggle(connection, STEPS, _number(row.seal), _number(seal))


def toggle(connection: Connection, part: str, *digests: int) -> None:
    """Adds rows to a part's seal, or takes out those that are in it. XOR does both."""
    total = _kept(connection, part)
    for digest in digests:
        total ^= digest
    connection.execute(update(seals).where(seals.c.part == part).values(seal=f"{total:032x}"))


def reseal(connection: Connection, part: str) -> None:
    """Seals a part anew from all its rows."""
    values = {"part": part, "seal": f"{_total(connection, part):032x}"}
    connection.execute(delete(seals).where(seals.c.part == part))
    connection.execute(insert(seals), values)


def seal_all(connection: Connection) -> None:
    """Seals everything as it stands, in a database that is new or was migrated."""
    for part in PARTS:
        reseal(connection, part)
    for step_id in connection.execute(select(steps.c.step_id)).scalars().all():
        seal_step(connection, step_id, with_rows=True)
    reseal(connection, STEPS)


def check_part(connection: Connection, part: str, rows: Iterable[Iterable[Any]] | None = None) -> None:
    """RowsDamaged unless the part is what was sealed. `rows`: all rows of its table, if they were read already."""
    total = _total(connection, part) if rows is None else _xor(row_digest(row) for row in rows)
    if total != _kept(connection, part):
        raise RowsDamaged(part)


def check_step(row: Row[Any]) -> Row[Any]:
    """Returns the step's own row. RowsDamaged unless it is what was sealed."""
    if step_seal(row) != row.seal:
        raise RowsDamaged(f"the row of step {row.step}")
    return row


def check_game(row: Row[Any], *tables: Iterable[Iterable[Any]]) -> None:
    """RowsDamaged unless the rows, by table in the order of `game_queries`, are what the step's row was sealed with."""
    if rows_seal(*tables) != row.game_seal:
        raise RowsDamaged(f"the problems, proposals or pass rates of step {row.step}")


def check_said(connection: Connection, row: Row[Any]) -> None:
    """RowsDamaged unless the rows of `said_queries` are what the step's row was sealed with."""
    if rows_seal(*(connection.execute(query) for query in said_queries(row.step_id))) != row.said_seal:
        raise RowsDamaged(f"the attempts or searches of step {row.step}")


def damages(connection: Connection, step_ids: Sequence[int]) -> list[str]:
    """What is damaged of these steps, by seal."""
    found = []
    for row in connection.execute(select(steps).where(steps.c.step_id.in_(step_ids))).all():
        game = [connection.execute(query).all() for query in game_queries(row.step_id)]
        for check in (partial(check_step, row), partial(check_game, row, *game), partial(check_said, connection, row)):
            found += _failure(check)
    return found


def damaged_parts(connection: Connection) -> list[str]:
    """The parts outside the steps that are damaged."""
    return [line for part in PARTS for line in _failure(partial(check_part, connection, part))]


def check_waves(connection: Connection, pending: Sequence[tuple[Row[Any], Sequence[Row[Any]]]]) -> None:
    """RowsDamaged unless the pending waves, all of them, are what was sealed."""
    if _xor(wave_digest(wave, said) for wave, said in pending) != _kept(connection, PENDING):
        raise RowsDamaged(PENDING)


def wave_digest(wave: Iterable[Any], said: Iterable[Iterable[Any]]) -> int:
    """The digest of a wave with its completions."""
    return xxh3_128_intdigest(_text([list(wave), [list(row) for row in said]]))


def pending_rows(connection: Connection) -> list[tuple[Row[Any], list[Row[Any]]]]:
    """Every pending wave with its completions, in the order they were committed."""
    found = connection.execute(select(waves).where(waves.c.state == "DONE").order_by(waves.c.wave_id)).all()
    said = select(completions).order_by(completions.c.position)
    return [(row, list(connection.execute(said.where(completions.c.wave_id == row.wave_id)))) for row in found]


def _failure(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except RowsDamaged as error:
        return [str(error)]
    return []


def _total(connection: Connection, part: str) -> int:
    if part == PENDING:
        return _xor(wave_digest(wave, said) for wave, said in pending_rows(connection))
    if part == STEPS:
        return _xor(_number(seal) for seal in connection.execute(select(steps.c.seal)).scalars())
    return _xor(row_digest(row) for row in connection.execute(select(_WHOLE[part])))


def _kept(connection: Connection, part: str) -> int:
    found = connection.execute(select(seals.c.seal).where(seals.c.part == part)).scalar()
    if found is None:
        raise RowsDamaged(f"the seal of {part}")
    return _number(found)


def _number(seal: str) -> int:
    """A seal as a number; 0 where a step is not sealed yet."""
    try:
        return int(seal or "0", 16)
    except (TypeError, ValueError):
        raise RowsDamaged(f"a seal ({str(seal)[:40]!r})") from None


def _xor(digests: Iterable[int]) -> int:
    total = 0
    for digest in digests:
        total ^= digest
    return total


def _text(rows: object) -> bytes:
    """Rows as JSON in ASCII, which is the same on every version of Python."""
    return json.dumps(rows, separators=(",", ":"), default=bytes.hex).encode()
