"""Rows into records. Each function works inside the caller's transaction and orders its rows by a key.

Rows are compared with their seals before they are believed (store/sealing.py). Of abandoned steps only their own rows
are read, by `step_rows(include_abandoned=True)`. Left out: what the curriculum computes from history.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, select, union

from store import sealing
from store.encoding import clean_text, decode_metrics, decode_parts, unpack_ids, unpack_logprobs
from store.errors import NoSuchProblem, RowsDamaged, StoreError
from store.records import (
    Alarm,
    AlarmEvent,
    Attempt,
    CheckpointRow,
    Completion,
    Disagreement,
    Evaluation,
    Fate,
    Finish,
    Incarnation,
    Origin,
    Outcome,
    PassRate,
    Problem,
    Proposal,
    RunRow,
    SearchNode,
    StepHistory,
    StepRow,
    StepStatus,
    Turn,
    Wave,
)
from store.schema import (
    alarms,
    attempts,
    checkpoints,
    disagreements,
    evaluations,
    incarnations,
    pass_rates,
    problems,
    proposals,
    runs,
    search_nodes,
    steps,
    turns,
)

LIVE = steps.c.status == "LIVE"


def run_row(connection: Connection) -> RunRow:
    """The run."""
    sealing.check_part(connection, sealing.RUN)
    row = connection.execute(select(runs, steps.c.step).join(steps, steps.c.step_id == runs.c.head_step_id)).first()
    if row is None:
        raise RowsDamaged("the run, or the step it stands at")
    return RunRow(
        name=row.name,
        seed=row.seed,
        config_yaml=row.config_yaml,
        config_digest=row.config_digest,
        code_digest=row.code_digest,
        head_step_id=row.head_step_id,
        head_step=row.step,
    )


def head_row(connection: Connection) -> StepRow:
    """The newest committed step of the live branch."""
    row = connection.execute(select(steps).join(runs, runs.c.head_step_id == steps.c.step_id)).first()
    if row is None:
        raise RowsDamaged("the run, or the step it stands at")
    return step_of(row)


def step_row(connection: Connection, step: int) -> StepRow:
    """The LIVE row of a step. StoreError if there is none."""
    row = connection.execute(select(steps).where(LIVE, steps.c.step == step)).first()
    if row is None:
        raise StoreError(f"the run has no step {step}: its head is at step {head_row(connection).step}")
    return step_of(row)


def step_rows(connection: Connection, include_abandoned: bool, after: int, until: int | None) -> list[StepRow]:
    """Steps after `after` and up to `until`, in order of step, then of commit. RowsDamaged if any step is missing."""
    sealing.check_part(connection, sealing.STEPS)
    query = select(steps).where(steps.c.step > after).order_by(steps.c.step, steps.c.step_id)
    rows = connection.execute(query if until is None else query.where(steps.c.step <= until))
    found = [step_of(row) for row in rows]  # of abandoned ones too: a damaged status would hide a step
    return [step for step in found if include_abandoned or step.status is StepStatus.LIVE]


def step_ids(connection: Connection) -> list[int]:
    """The ids of all steps, abandoned ones too, in order of commit."""
    return list(connection.execute(select(steps.c.step_id).order_by(steps.c.step_id)).scalars())


def incarnation_records(connection: Connection) -> list[Incarnation]:
    """The processes that worked on the run, oldest first."""
    rows = connection.execute(select(incarnations).order_by(incarnations.c.incarnation_id)).all()
    sealing.check_part(connection, sealing.PROCESSES, rows)
    return [Incarnation(**row._asdict()) for row in rows]


def newest_incarnation_id(connection: Connection) -> int | None:
    """The id of the newest process that worked on the run; None before the first."""
    found = connection.execute(select(func.max(incarnations.c.incarnation_id))).scalar()
    return None if found is None else int(found)


def pending_wave_records(connection: Connection, step: int, key: str | None = None) -> dict[str, Wave]:
    """The DONE waves sampled from the head for `step`, by key, in the order they were committed; or only `key`."""
    pending = sealing.pending_rows(connection)
    sealing.check_waves(connection, pending)
    head = connection.execute(select(runs.c.head_step_id)).scalar_one()
    return {
        wave.wave_key: Wave(step, wave.wave_key, tuple(_completion(row) for row in said))
        for wave, said in pending
        if wave.parent_step_id == head and wave.step == step and key in (None, wave.wave_key)
    }


def history_chunk(connection: Connection, first: int, last: int) -> list[StepHistory]:
    """LIVE steps `first` to `last`, both included, in order."""
    rows = _live_rows(connection, first, last)
    of_problems = _by_step(connection, problems, "admitted_step_id", first, last)
    of_proposals = _by_step(connection, proposals, "step_id", first, last)
    of_rates = _by_step(connection, pass_rates, "step_id", first, last)
    for row in rows:
        sealing.check_game(row, *(found[row.step_id] for found in (of_problems, of_proposals, of_rates)))
    return [
        StepHistory(
            step=row.step,
            policy_version=row.policy_version,
            problems=tuple(_problem(item) for item in of_problems[row.step_id]),
            proposals=tuple(_proposal(item) for item in of_proposals[row.step_id]),
            pass_rates=tuple(_pass_rate(item) for item in of_rates[row.step_id]),
        )
        for row in rows
    ]


def find_problem(connection: Connection, prefix: str) -> tuple[Problem, int]:
    """The live problem whose id is `prefix`, or the only one whose id starts with it, and the step that admitted it.

    NoSuchProblem where there is none, or more than one.
    """
    prefix = clean_text(prefix)
    exact = connection.execute(_live_problems().where(problems.c.problem_id == prefix)).all()
    starts = func.substr(problems.c.problem_id, 1, len(prefix)) == prefix
    found = exact or connection.execute(_live_problems().where(starts).order_by(problems.c.problem_id).limit(2)).all()
    if exact:
        _check_games(connection, exact[0].step, exact[0].step)
    else:  # an id that was damaged may be the one that was meant
        _check_games(connection, 0, head_row(connection).step)
    if not found:
        raise NoSuchProblem(f"the run has no problem whose id starts with {prefix!r}")
    if len(found) > 1:
        first, second = (row.problem_id for row in found)
        raise NoSuchProblem(f"more than one problem id starts with {prefix!r} ({first}, {second} ...): type more of it")
    return _problem(found[0]), found[0].step


def check_said(connection: Connection, problem_id: str) -> None:
    """RowsDamaged unless the attempts and searches of every step that tried the problem are what was stored."""
    tried = [select(table.c.step_id).where(table.c.problem_id == problem_id) for table in (attempts, pass_rates)]
    query = select(steps).where(LIVE, steps.c.step_id.in_(union(*tried)))
    for row in connection.execute(query).all():
        sealing.check_said(connection, sealing.check_step(row))


def attempt_records(connection: Connection, problem_id: str) -> list[tuple[int, Attempt]]:
    """All live attempts at a problem with the step they were made in, oldest first."""
    check_said(connection, problem_id)
    return _attempts_where(connection, attempts.c.problem_id == problem_id)


def attempt_records_of_step(connection: Connection, step: int) -> list[Attempt]:
    """All attempts of a live step, by problem and place in the group; [] for a step that there is not."""
    for row in connection.execute(select(steps).where(LIVE, steps.c.step == step)).all():
        sealing.check_said(connection, sealing.check_step(row))
    return [attempt for _, attempt in _attempts_where(connection, steps.c.step == step)]


def _attempts_where(connection: Connection, condition: ColumnElement[bool]) -> list[tuple[int, Attempt]]:
    joined = steps.join(attempts, attempts.c.step_id == steps.c.step_id)
    keys = ("step_id", "problem_id", "attempt")
    joined = joined.outerjoin(turns, _all([turns.c[key] == attempts.c[key] for key in keys]))
    names = ("turn", "text", "answer", "outcome", "finish", "num_tokens", "reward", "score", "parts", "error")
    kept = (turns.c[name] for name in names)
    query = (
        select(steps.c.step, *attempts.c, *kept)
        .select_from(joined)
        .where(LIVE, condition)
        .order_by(steps.c.step, attempts.c.problem_id, attempts.c.attempt, turns.c.turn)
    )
    found = connection.execute(query).all()
    groups = groupby(found, key=lambda row: (row.step, row.problem_id, row.attempt))
    return [(step, _attempt(list(rows))) for (step, _, _), rows in groups]


def search_node_records(connection: Connection, problem_id: str) -> dict[int, list[SearchNode]]:
    """The trees that were searched for a problem, by live step, each with its nodes in order."""
    check_said(connection, problem_id)
    query = (
        select(search_nodes, steps.c.step)
        .join(steps, steps.c.step_id == search_nodes.c.step_id)
        .where(LIVE, search_nodes.c.problem_id == problem_id)
        .order_by(steps.c.step, search_nodes.c.node)
    )
    found: dict[int, list[SearchNode]] = {}
    for row in connection.execute(query):
        found.setdefault(row.step, []).append(_search_node(row))
    return found


def proposal_records(
    connection: Connection, step: int | None, fate: Fate | None, limit: int | None
) -> list[tuple[int, Proposal]]:
    """Live proposals with their step, oldest first; with `limit`, the newest that many."""
    query = select(proposals, steps.c.step).join(steps, steps.c.step_id == proposals.c.step_id).where(LIVE)
    query = query if step is None else query.where(steps.c.step == step)
    query = query if fate is None else query.where(proposals.c.fate == fate.value)
    query = query.order_by(steps.c.step.desc(), proposals.c.ordinal.desc()).limit(limit)
    found = connection.execute(query).all()[::-1]
    if step is None:
        _check_games(connection, found[0].step if limit is not None and found else 0, head_row(connection).step)
    elif step <= head_row(connection).step:
        _check_games(connection, step, step)
    return [(row.step, _proposal(row)) for row in found]


def fate_counts(connection: Connection, step: int | None) -> dict[Fate, int]:
    """How often live proposals, or those of one step, met each fate; the most frequent first."""
    head = head_row(connection).step
    if step is None or step <= head:
        _check_games(connection, 0 if step is None else step, head if step is None else step)
    return unchecked_fate_counts(connection, step)


def unchecked_fate_counts(connection: Connection, step: int | None) -> dict[Fate, int]:
    """The same, and no row is compared with its seal."""
    count = func.count()
    query = select(proposals.c.fate, count).join(steps, steps.c.step_id == proposals.c.step_id).where(LIVE)
    query = query if step is None else query.where(steps.c.step == step)
    query = query.group_by(proposals.c.fate).order_by(count.desc(), proposals.c.fate)
    return {Fate(fate): number for fate, number in connection.execute(query)}


def evaluation_records(connection: Connection) -> list[Evaluation]:
    """Live evaluations in order of step, set and kind."""
    sealing.check_part(connection, sealing.EVALUATIONS)
    query = select(evaluations, steps.c.step).join(steps, steps.c.step_id == evaluations.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, evaluations.c.set_name, evaluations.c.kind))
    return [
        Evaluation(
            row.step,
            row.set_name,
            row.kind,
            decode_metrics(row.metrics),
            row.outcomes,
            row.reports,
            row.searches,
            row.committed_at,
        )
        for row in found
    ]


def alarm_records(connection: Connection) -> list[tuple[int, Alarm]]:
    """Live alarms with their step, oldest first, and of one step in the order of the commit."""
    sealing.check_part(connection, sealing.ALARMS)
    query = select(alarms, steps.c.step).join(steps, steps.c.step_id == alarms.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, alarms.c.ordinal))
    return [
        (row.step, Alarm(row.name, AlarmEvent(row.event), row.figure, row.threshold, row.text, row.advice))
        for row in found
    ]


def disagreement_records(connection: Connection) -> list[tuple[int, Disagreement]]:
    """Live disagreements with their step, oldest first."""
    sealing.check_part(connection, sealing.DISAGREEMENTS)
    table = disagreements
    query = select(table, steps.c.step).join(steps, steps.c.step_id == table.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step, table.c.problem_id, table.c.attempt, table.c.turn))
    return [
        (
            row.step,
            Disagreement(row.problem_id, row.attempt, row.turn, Outcome(row.outcome), bool(row.is_right), row.means),
        )
        for row in found
    ]


def checkpoint_records(connection: Connection) -> list[CheckpointRow]:
    """Live checkpoints, newest first."""
    sealing.check_part(connection, sealing.CHECKPOINTS)
    query = select(checkpoints, steps.c.step).join(steps, steps.c.step_id == checkpoints.c.step_id).where(LIVE)
    found = connection.execute(query.order_by(steps.c.step.desc()))
    return [CheckpointRow(row.step_id, row.step, row.path, row.manifest_sha256, row.weights_digest) for row in found]


def _check_games(connection: Connection, first: int, last: int) -> None:
    """RowsDamaged unless what live steps `first` to `last` played is what was stored."""
    for row in _live_rows(connection, first, last):
        sealing.check_game(row, *(connection.execute(query) for query in sealing.game_queries(row.step_id)))


def _live_rows(connection: Connection, first: int, last: int) -> Sequence[Row[Any]]:
    """The rows of live steps `first` to `last`. RowsDamaged unless all are there, as they were stored."""
    rows = connection.execute(select(steps).where(_in(first, last)).order_by(steps.c.step)).all()
    if [row.step for row in rows] != list(range(first, last + 1)):
        raise RowsDamaged(f"the list of steps from {first} to {last}")
    return [sealing.check_step(row) for row in rows]


def _in(first: int, last: int) -> ColumnElement[bool]:
    return LIVE & steps.c.step.between(first, last)


def _all(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    joined = conditions[0]
    for condition in conditions[1:]:
        joined = joined & condition
    return joined


def _by_step(connection: Connection, table: Table, key: str, first: int, last: int) -> dict[int, list[Row[Any]]]:
    query = select(table).join(steps, steps.c.step_id == table.c[key]).where(_in(first, last))
    grouped: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query.order_by(steps.c.step, table.c.ordinal)):
        grouped[getattr(row, key)].append(row)
    return grouped


def _live_problems() -> Select[Any]:
    return select(problems, steps.c.step).join(steps, steps.c.step_id == problems.c.admitted_step_id).where(LIVE)


def _completion(row: Row[Any]) -> Completion:
    return Completion(
        ids=unpack_ids(row.ids),
        logprobs=unpack_logprobs(row.logprobs),
        text=row.text,
        finish=Finish(row.finish),
        first_version=row.first_version,
        last_version=row.last_version,
    )


def step_of(row: Row[Any]) -> StepRow:
    """The record of a step's row. RowsDamaged unless the row is what was stored."""
    sealing.check_step(row)
    return StepRow(
        step_id=row.step_id,
        step=row.step,
        parent_step_id=row.parent_step_id,
        status=StepStatus(row.status),
        policy_version=row.policy_version,
        metrics=decode_metrics(row.metrics),
        weights_digest=row.weights_digest,
        journal_file=row.journal_file,
        journal_sha256=row.journal_sha256,
        seconds=row.seconds,
        incarnation_id=row.incarnation_id,
        committed_at=row.committed_at,
    )


def _problem(row: Row[Any]) -> Problem:
    return Problem(
        problem_id=row.problem_id,
        domain=row.domain,
        text=row.text,
        canonical=row.canonical,
        family=row.family,
        level=row.level,
        answer=row.answer,
        answer_source=row.answer_source,
        origin=Origin(row.origin),
        parent_id=row.parent_id,
    )


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        parent_id=row.parent_id,
        target=row.target,
        index=row.proposal_index,
        text=row.text,
        fate=Fate(row.fate),
        problem_id=row.problem_id,
        reward=row.reward,
        logprob=row.logprob,
    )


def _pass_rate(row: Row[Any]) -> PassRate:
    return PassRate(
        problem_id=row.problem_id,
        policy_version=row.policy_version,
        attempts=row.attempts,
        successes=row.successes,
        kept=row.kept,
        broken=row.broken,
        fixed=row.fixed,
        missed=row.missed,
        is_graded=bool(row.is_graded),
    )


def _attempt(rows: Sequence[Row[Any]]) -> Attempt:
    first = rows[0]
    return Attempt(
        problem_id=first.problem_id,
        attempt=first.attempt,
        turns=tuple(_turn(row) for row in rows if row.turn is not None),
        first_version=first.first_version,
        last_version=first.last_version,
        report=first.report,
        confidence=first.confidence,
    )


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        text=row.text,
        answer=row.answer,
        outcome=Outcome(row.outcome),
        finish=Finish(row.finish),
        num_tokens=row.num_tokens,
        reward=row.reward,
        score=row.score,
        parts=decode_parts(row.parts),
        error=row.error or "",
    )


def _search_node(row: Row[Any]) -> SearchNode:
    return SearchNode(
        problem_id=row.problem_id,
        node=row.node,
        parent=row.parent,
        text=row.text,
        num_tokens=row.num_tokens,
        logprob=row.logprob,
        said=row.said,
        visits=row.visits,
        mean=row.mean,
        leaves=row.leaves,
        right=row.right_leaves,
        policy_version=row.policy_version,
        value=row.value,
        process=row.process,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        merged_into=row.merged_into,
        advantage=row.advantage,
    )
