"""Rounds in which a side wrote its skills, the sets that they wrote, and what steps tried, which rounds learn from.

Each function works inside the caller's transaction. Rows of a step that was left behind are offered no more.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, select

from store import sealing
from store.encoding import clean_text, decode_ids, encode_ids, finite
from store.reading import LIVE, attempt_records_of_step, find_problem
from store.records import (
    Attempt,
    Problem,
    RoundOutcome,
    Side,
    Skill,
    SkillAction,
    SkillPick,
    SkillRound,
    SkillSet,
)
from store.schema import pass_rates, skill_picks, skill_rounds, skills, steps
from store.writing import insert_rows


def insert_rounds(connection: Connection, rounds: Sequence[SkillRound], step_id: int) -> None:
    """Inserts the step's rounds of skills, each with the set that it wrote."""
    rows = [
        {
            "step_id": step_id,
            "side": each.side.value,
            "outcome": each.outcome.value,
            "parent_version": each.parent_version,
            "version": each.parent_version if each.written is None else each.written.version,
            "action": None if each.action is None else each.action.value,
            "name": clean_text(each.name),
            "reason": clean_text(each.reason),
            "cases": encode_ids(each.cases),
        }
        for each in rounds
    ]
    written = [
        {
            "step_id": step_id,
            "side": each.side.value,
            "position": position,
            "name": clean_text(skill.name),
            "body": clean_text(skill.body),
            "since_version": skill.since,
        }
        for each in rounds
        for position, skill in enumerate(() if each.written is None else each.written.skills)
    ]
    for table, part, new in ((skill_rounds, sealing.ROUNDS, rows), (skills, sealing.SKILLS, written)):
        insert_rows(connection, table, new)
        if new:
            stored = connection.execute(select(table).where(table.c.step_id == step_id))
            sealing.toggle(connection, part, *(sealing.row_digest(row) for row in stored))


def round_records(connection: Connection) -> list[tuple[int, SkillRound]]:
    """Live rounds of skills with their step, oldest first, the challenger's before the solver's."""
    sealing.check_part(connection, sealing.ROUNDS)
    sealing.check_part(connection, sealing.SKILLS)
    query = select(skill_rounds, steps.c.step).join(steps, steps.c.step_id == skill_rounds.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, skill_rounds.c.side)).all()
    kept: dict[tuple[int, str], list[Skill]] = defaultdict(list)
    for row in connection.execute(select(skills).order_by(*skills.primary_key)):
        kept[row.step_id, row.side].append(Skill(row.name, row.body, row.since_version))
    return [(row.step, _skill_round(row, tuple(kept[row.step_id, row.side]))) for row in found]


def insert_picks(connection: Connection, picks: Sequence[SkillPick], step_id: int) -> None:
    """Inserts and seals what the probes said of versions of the solver's skills before a step."""
    if not picks:
        return
    for each in picks:
        finite(each.product, f"the product of version {each.version}")
    insert_rows(connection, skill_picks, [asdict(each) | {"step_id": step_id} for each in picks])
    stored = connection.execute(select(skill_picks).where(skill_picks.c.step_id == step_id))
    sealing.toggle(connection, sealing.SKILL_PICKS, *map(sealing.row_digest, stored))


def pick_records(connection: Connection) -> list[tuple[int, SkillPick]]:
    """Live ones with the step of each, oldest first, by version."""
    sealing.check_part(connection, sealing.SKILL_PICKS)
    query = select(skill_picks, steps.c.step).join(steps, steps.c.step_id == skill_picks.c.step_id).where(LIVE)
    found = (row._asdict() for row in connection.execute(query.order_by(steps.c.step, skill_picks.c.version)))
    return [(row.pop("step"), SkillPick(**{k: v for k, v in row.items() if k != "step_id"})) for row in found]


def tries(connection: Connection, first: int, last: int) -> list[tuple[Problem, list[Attempt]]]:
    """Every problem that live steps `first` to `last` tried with the attempts at it, by step and problem. What was
    tried with help has no pass rate, and is left out: it says nothing of what is solved bare."""
    found = []
    for step in range(first, last + 1):
        query = select(pass_rates.c.problem_id).join(steps, steps.c.step_id == pass_rates.c.step_id)
        bare = set(connection.execute(query.where(LIVE, steps.c.step == step)).scalars())
        for problem_id, said in groupby(attempt_records_of_step(connection, step), key=lambda each: each.problem_id):
            if problem_id in bare:
                found.append((find_problem(connection, problem_id)[0], list(said)))
    return found


def _skill_round(row: Row[Any], kept: tuple[Skill, ...]) -> SkillRound:
    side, outcome = Side(row.side), RoundOutcome(row.outcome)
    return SkillRound(
        side=side,
        outcome=outcome,
        cases=decode_ids(row.cases),
        parent_version=row.parent_version,
        action=None if row.action is None else SkillAction(row.action),
        name=row.name,
        reason=row.reason,
        written=SkillSet(side, row.version, kept) if outcome is RoundOutcome.WRITTEN else None,
    )
