"""One sha256 over the content of a run, by which a run that was killed and resumed is compared with one that was not.

It covers every row of the live branch in every content table. Steps stand in it by their numbers, since a rewound
branch gets new ids. It does not cover:
- incarnations and checkpoints: what processes ran, and which folders they happened to keep;
- the run's name, config and code: labels, which differ between two runs that are compared;
- steps.status (only LIVE rows are read), steps.seconds, steps.journal_file (cleared when pruned, whenever that
  happens; its sha256 stays and is covered), steps.incarnation_id (which process made it);
- seals and snapshots, which are made from the rows themselves;
- committed_at of steps, evaluations and picks: the time of day;
- held_out: what the domain holds out, which the outcomes of evaluations depend on;
- waves.wave_id, state and consumed_step_id: a wave stands in it by its step and key;
- metrics that depend on a clock or a machine: those with a word of MEASURED_WORDS in their name;
- rows of abandoned steps and the waves sampled for them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from store.schema import (
    alarms,
    attempts,
    completions,
    disagreements,
    evaluations,
    experiences,
    foretold,
    pass_rates,
    picks,
    probe_answers,
    probes,
    problems,
    proposals,
    rescues,
    runs,
    search_nodes,
    skill_picks,
    skill_rounds,
    skills,
    steps,
    turns,
    waves,
)

CONTENT_TABLES = (
    runs,
    steps,
    problems,
    proposals,
    attempts,
    turns,
    pass_rates,
    search_nodes,
    alarms,
    disagreements,
    probes,
    probe_answers,
    picks,
    skill_rounds,
    skills,
    skill_picks,
    rescues,
    experiences,
    foretold,
    waves,
    completions,
    evaluations,
)

EXCLUDED: Mapping[str, frozenset[str]] = {
    "runs": frozenset({"name", "config_yaml", "config_digest", "code_digest"}),
    "steps": frozenset(
        {"status", "journal_file", "seconds", "incarnation_id", "game_seal", "said_seal", "seal", "committed_at"}
    ),
    "evaluations": frozenset({"committed_at"}),
    "picks": frozenset({"committed_at"}),
    "waves": frozenset({"wave_id", "state", "consumed_step_id"}),
    "completions": frozenset({"wave_id"}),
}

MEASURED_WORDS = frozenset({"second", "seconds", "time", "wall", "cpu", "memory"})

_STEP_KEYS = {"runs": "head_step_id", "problems": "admitted_step_id", "waves": "parent_step_id"}


def table_digest(connection: Connection) -> str:
    """Hex sha256 of the content of the live branch, rows in key order."""
    live = {row.step_id: row.step for row in connection.execute(select(steps).where(steps.c.status == "LIVE"))}
    total = hashlib.sha256()
    for table in CONTENT_TABLES:
        total.update(f"table {table.name}\n".encode())
        for line in sorted(_lines(connection, table, live)):
            total.update(line.encode() + b"\n")
    return total.hexdigest()


def is_measured(name: str) -> bool:
    """Whether a metric depends on a clock or a machine, by its name, like "time/rollout" or "tokens_per_second"."""
    return not MEASURED_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _lines(connection: Connection, table: Table, live: Mapping[int, int]) -> list[str]:
    if table is completions:
        joined = table.join(waves, table.c.wave_id == waves.c.wave_id)
        query = select(table, waves.c.parent_step_id, waves.c.wave_key).select_from(joined).where(_wave_is_live())
    elif table is waves:
        query = select(table).where(_wave_is_live())
    else:
        query = select(table)
    step_key = "parent_step_id" if table is completions else _STEP_KEYS.get(table.name, "step_id")
    excluded = EXCLUDED.get(table.name, frozenset())
    return [_line(row, live, excluded) for row in connection.execute(query).mappings() if row[step_key] in live]


def _line(row: Mapping[Any, Any], live: Mapping[int, int], excluded: frozenset[str]) -> str:
    kept: dict[str, object] = {}
    for name, value in row.items():
        if name in excluded:
            continue
        if name.endswith("step_id"):
            kept[name] = live.get(value)
        elif name == "metrics":
            kept[name] = {key: number for key, number in json.loads(value).items() if not is_measured(key)}
        else:
            kept[name] = value.hex() if isinstance(value, bytes) else value
    return json.dumps(kept, sort_keys=True)


def _wave_is_live() -> ColumnElement[bool]:
    live = select(steps.c.step_id).where(steps.c.status == "LIVE")
    return (waves.c.state == "DONE") | waves.c.consumed_step_id.in_(live)
