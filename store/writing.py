"""Records into rows. Each function works inside the caller's transaction, which a StoreError rolls back.

Left out: the transactions themselves (store.py).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, union_all, update

from store import sealing
from store.encoding import clean_text, encode_metrics, encode_parts, finite, pack_ids, pack_logprobs
from store.errors import StoreError
from store.reading import head_row, newest_incarnation_id
from store.records import (
    Alarm,
    Attempt,
    CheckpointRow,
    Completion,
    Disagreement,
    Evaluation,
    PassRate,
    Problem,
    Proposal,
    SearchNode,
    Standing,
    StepCommit,
    Wave,
)
from store.schema import (
    alarms,
    attempts,
    checkpoints,
    completions,
    disagreements,
    evaluations,
    pass_rates,
    problems,
    proposals,
    runs,
    search_nodes,
    steps,
    turns,
    waves,
)

Row = Mapping[str, Any]
_IDS_AT_A_TIME = 1000  # SQLite limits how many values a statement names


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts `rows`. Without any it does nothing, where SQLAlchemy would insert a row of defaults."""
    if rows:
        connection.execute(insert(table), list(rows))


def problem_row(problem: Problem, admitted_step_id: int, ordinal: int) -> dict[str, Any]:
    """The row of the `ordinal`-th problem that a step admitted."""
    return {
        "problem_id": problem.problem_id,
        "domain": problem.domain,
        "text": clean_text(problem.text),
        "canonical": clean_text(problem.canonical),
        "family": problem.family,
        "level": problem.level,
        "answer": clean_text(problem.answer),
        "answer_source": problem.answer_source,
        "origin": problem.origin.value,
        "parent_id": problem.parent_id,
        "admitted_step_id": admitted_step_id,
        "ordinal": ordinal,
    }


def proposal_row(proposal: Proposal, step_id: int, ordinal: int) -> dict[str, Any]:
    """The row of a proposal. StoreError for a reward that is not finite."""
    return {
        "step_id": step_id,
        "target": proposal.target,
        "proposal_index": proposal.index,
        "ordinal": ordinal,
        "parent_id": proposal.parent_id,
        "text": clean_text(proposal.text),
        "fate": proposal.fate.value,
        "problem_id": proposal.problem_id,
        "reward": _reward(proposal.reward, f"the reward of proposal {proposal.index} of target {proposal.target}"),
        "logprob": _reward(proposal.logprob, f"the logprob of proposal {proposal.index} of target {proposal.target}"),
    }


def attempt_row(attempt: Attempt, step_id: int) -> dict[str, Any]:
    """The row of an attempt, without its turns."""
    return {
        "step_id": step_id,
        "problem_id": attempt.problem_id,
        "attempt": attempt.attempt,
        "first_version": attempt.first_version,
        "last_version": attempt.last_version,
        "report": None if attempt.report is None else clean_text(attempt.report),
        "confidence": _share(attempt.confidence, f"the confidence of an attempt at {attempt.problem_id}"),
    }


def turn_rows(attempt: Attempt, step_id: int) -> list[dict[str, Any]]:
    """The rows of an attempt's turns. StoreError for a reward that is not finite."""
    rewards = [
        f"the reward of turn {index} of an attempt at {attempt.problem_id}" for index in range(len(attempt.turns))
    ]
    return [
        {
            "step_id": step_id,
            "problem_id": attempt.problem_id,
            "attempt": attempt.attempt,
            "turn": index,
            "text": clean_text(turn.text),
            "answer": None if turn.answer is None else clean_text(turn.answer),
            "outcome": turn.outcome.value,
            "finish": turn.finish.value,
            "num_tokens": turn.num_tokens,
            "reward": _reward(turn.reward, rewards[index]),
            "score": _share(turn.score, f"the score of turn {index} of an attempt at {attempt.problem_id}"),
            "parts": encode_parts(turn.parts, rewards[index]),
            "error": clean_text(turn.error) or None,
        }
        for index, turn in enumerate(attempt.turns)
    ]


def search_node_row(node: SearchNode, step_id: int) -> dict[str, Any]:
    """The row of a node of a searched tree. StoreError for a number that is not finite."""
    what = f"node {node.node} of the tree of {node.problem_id}"
    return {
        "step_id": step_id,
        "problem_id": node.problem_id,
        "node": node.node,
        "parent": node.parent,
        "text": clean_text(node.text),
        "num_tokens": node.num_tokens,
        "logprob": finite(node.logprob, f"the log-probability of {what}"),
        "said": node.said,
        "visits": node.visits,
        "mean": finite(node.mean, f"the mean of {what}"),
        "leaves": node.leaves,
        "right_leaves": node.right,
        "policy_version": node.policy_version,
        "value": _share(node.value, f"the value of {what}"),
        "process": _share(node.process, f"the process score of {what}"),
        "outcome": None if node.outcome is None else node.outcome.value,
        "merged_into": node.merged_into,
        "advantage": _reward(node.advantage, f"the advantage of {what}"),
    }


def pass_rate_row(pass_rate: PassRate, step_id: int, ordinal: int, standing: Standing | None = None) -> dict[str, Any]:
    """The row of a pass rate, with where the problem stood after it."""
    return {
        "step_id": step_id,
        "problem_id": pass_rate.problem_id,
        "ordinal": ordinal,
        "policy_version": pass_rate.policy_version,
        "attempts": pass_rate.attempts,
        "successes": pass_rate.successes,
        "kept": pass_rate.kept,
        "broken": pass_rate.broken,
        "fixed": pass_rate.fixed,
        "missed": pass_rate.missed,
        "is_graded": int(pass_rate.is_graded),
        "state": None if standing is None else standing.state.value,
        "rate": _share(None if standing is None else standing.rate, f"the rate of {pass_rate.problem_id}"),
    }


def completion_row(completion: Completion, wave_id: int, position: int) -> dict[str, Any]:
    """The row of a completion. StoreError if ids and log-probabilities do not match or cannot be kept."""
    if len(completion.ids) != len(completion.logprobs):
        raise StoreError(
            f"completion {position} has {len(completion.ids)} ids but {len(completion.logprobs)} log-probabilities"
        )
    return {
        "wave_id": wave_id,
        "position": position,
        "ids": pack_ids(completion.ids),
        "logprobs": pack_logprobs(completion.logprobs),
        "num_tokens": len(completion.ids),
        "text": clean_text(completion.text),
        "finish": completion.finish.value,
        "first_version": completion.first_version,
        "last_version": completion.last_version,
    }


def insert_wave(connection: Connection, wave: Wave, parent_step_id: int) -> None:
    """Inserts a wave as pending on the head that it was sampled from. StoreError if its key is pending already."""
    pending = select(waves.c.wave_id).where(
        waves.c.parent_step_id == parent_step_id, waves.c.wave_key == wave.key, waves.c.state == "DONE"
    )
    if connection.execute(pending).first() is not None:
        raise StoreError(f"wave {wave.key!r} of step {wave.step} is stored already: use pending_waves({wave.step})")
    row = {"parent_step_id": parent_step_id, "step": wave.step, "wave_key": wave.key, "state": "DONE"}
    wave_id = _new_id(connection, waves, row)
    insert_rows(connection, completions, [completion_row(item, wave_id, i) for i, item in enumerate(wave.completions)])
    stored = connection.execute(select(waves).where(waves.c.wave_id == wave_id)).one()
    said = select(completions).where(completions.c.wave_id == wave_id).order_by(completions.c.position)
    sealing.toggle(connection, sealing.PENDING, sealing.wave_digest(stored, connection.execute(said)))


def insert_root(connection: Connection, weights_digest: str) -> int:
    """Inserts the row of step 0, the base model; returns its id."""
    row = {
        "step": 0,
        "status": "LIVE",
        "policy_version": 0,
        "metrics": "{}",
        "weights_digest": weights_digest,
        "seconds": 0.0,
    }
    return _new_id(connection, steps, row)


def insert_step(connection: Connection, commit: StepCommit, parent_step_id: int) -> int:
    """Inserts the step's own row; returns its id."""
    row = {
        "step": commit.step,
        "parent_step_id": parent_step_id,
        "status": "LIVE",
        "policy_version": commit.policy_version,
        "metrics": encode_metrics(commit.metrics),
        "weights_digest": commit.weights_digest,
        "journal_file": commit.journal_file,
        "journal_sha256": commit.journal_sha256,
        "seconds": finite(commit.seconds, "the step's seconds"),
        "incarnation_id": newest_incarnation_id(connection),
        "committed_at": now(),
    }
    return _new_id(connection, steps, row)


def insert_game(connection: Connection, commit: StepCommit, step_id: int) -> None:
    """Inserts what was played in the step: problems, proposals, attempts, turns, pass rates and searched trees."""
    admit(connection, commit.problems, step_id)
    stood = commit.standings
    rates = [pass_rate_row(item, step_id, i, stood.get(item.problem_id)) for i, item in enumerate(commit.pass_rates)]
    insert_rows(connection, proposals, [proposal_row(item, step_id, i) for i, item in enumerate(commit.proposals)])
    insert_rows(connection, attempts, [attempt_row(item, step_id) for item in commit.attempts])
    insert_rows(connection, turns, [row for item in commit.attempts for row in turn_rows(item, step_id)])
    insert_rows(connection, pass_rates, rates)
    insert_rows(connection, search_nodes, [search_node_row(item, step_id) for item in commit.search_nodes])


def insert_alarms(connection: Connection, raised: Sequence[Alarm], step_id: int) -> None:
    """Inserts what is said of the step, behind what was. StoreError for a number that is not finite."""
    mine = alarms.c.step_id == step_id
    before = list(connection.execute(select(alarms.c.name).where(mine)).scalars())
    rows = [
        {
            "step_id": step_id,
            "name": alarm.name,
            "ordinal": ordinal,
            "event": alarm.event.value,
            "figure": finite(alarm.figure, f"the figure of the alarm {alarm.name}"),
            "threshold": finite(alarm.threshold, f"the threshold of the alarm {alarm.name}"),
            "text": clean_text(alarm.text),
            "advice": clean_text(alarm.advice),
        }
        for ordinal, alarm in enumerate(raised, len(before))
    ]
    insert_rows(connection, alarms, rows)
    if rows:
        stored = connection.execute(select(alarms).where(mine, alarms.c.name.not_in(before)))
        sealing.toggle(connection, sealing.ALARMS, *(sealing.row_digest(row) for row in stored))


def insert_disagreements(connection: Connection, found: Sequence[Disagreement], step_id: int) -> None:
    """Inserts what two judges of the step's turns do not agree on."""
    rows = [
        {
            "step_id": step_id,
            "problem_id": each.problem_id,
            "attempt": each.attempt,
            "turn": each.turn,
            "outcome": each.outcome.value,
            "is_right": int(each.is_right),
            "means": clean_text(each.means),
        }
        for each in found
    ]
    insert_rows(connection, disagreements, rows)
    if rows:
        stored = connection.execute(select(disagreements).where(disagreements.c.step_id == step_id))
        sealing.toggle(connection, sealing.DISAGREEMENTS, *(sealing.row_digest(row) for row in stored))


def admit(connection: Connection, admitted: Sequence[Problem], step_id: int) -> None:
    """Inserts problems, or takes them over from an abandoned step. StoreError for one of the live branch."""
    by_id = {problem.problem_id: problem_row(problem, step_id, i) for i, problem in enumerate(admitted)}
    if len(by_id) < len(admitted):
        raise StoreError("a step admits no problem twice")
    known = _admitted_before(connection, list(by_id))
    for problem_id, found in known.items():
        if found.status != "ABANDONED":
            raise StoreError(f"problem {problem_id} was admitted at step {found.step} already")
    insert_rows(connection, problems, [row for problem_id, row in by_id.items() if problem_id not in known])
    for problem_id in known:
        # all of the row is replaced: parent and text may differ from those of the abandoned branch
        connection.execute(update(problems).where(problems.c.problem_id == problem_id).values(by_id[problem_id]))
    for abandoned in {found.step_id for found in known.values()}:
        sealing.seal_step(connection, abandoned, with_rows=True)


def _admitted_before(connection: Connection, problem_ids: Sequence[str]) -> dict[str, Any]:
    """Of those that are stored: the status, number and id of the step that admitted each, by the problem's id."""
    columns = problems.c.problem_id, steps.c.status, steps.c.step, steps.c.step_id
    query = select(*columns).join(problems, problems.c.admitted_step_id == steps.c.step_id)
    found: dict[str, Any] = {}
    for first in range(0, len(problem_ids), _IDS_AT_A_TIME):
        some = problems.c.problem_id.in_(problem_ids[first : first + _IDS_AT_A_TIME])
        found |= {row.problem_id: row for row in connection.execute(query.where(some))}
    return found


def consume_waves(connection: Connection, parent_step_id: int, step_id: int) -> None:
    """Marks the pending waves of a head as consumed by `step_id` and drops their ids and log-probabilities.

    A completion whose text stands in another row of the step is deleted, so that every text is stored once.
    """
    pending = select(waves.c.wave_id).where(waves.c.parent_step_id == parent_step_id, waves.c.state == "DONE")
    said = union_all(
        select(turns.c.text).where(turns.c.step_id == step_id),
        select(proposals.c.text).where(proposals.c.step_id == step_id),
        select(attempts.c.report).where(attempts.c.step_id == step_id, attempts.c.report.is_not(None)),
        select(search_nodes.c.text).where(search_nodes.c.step_id == step_id),
    )
    connection.execute(delete(completions).where(completions.c.wave_id.in_(pending), completions.c.text.in_(said)))
    connection.execute(update(completions).where(completions.c.wave_id.in_(pending)).values(ids=None, logprobs=None))
    connection.execute(
        update(waves)
        .where(waves.c.parent_step_id == parent_step_id, waves.c.state == "DONE")
        .values(state="CONSUMED", consumed_step_id=step_id)
    )
    sealing.reseal(connection, sealing.PENDING)


def move_head(connection: Connection, step_id: int) -> None:
    """The run's head becomes `step_id`."""
    change_run(connection, head_step_id=step_id)


def change_run(connection: Connection, **values: Any) -> None:
    """Changes the run's own row."""
    connection.execute(update(runs).values(**values))
    sealing.reseal(connection, sealing.RUN)


def abandon_after(connection: Connection, step: int) -> None:
    """Every LIVE step after `step` becomes ABANDONED, and so do the pending waves sampled from one of them."""
    later = select(steps.c.step_id).where(steps.c.status == "LIVE", steps.c.step > step)
    lost = select(waves.c.wave_id).where(waves.c.parent_step_id.in_(later), waves.c.state == "DONE")
    connection.execute(update(completions).where(completions.c.wave_id.in_(lost)).values(ids=None, logprobs=None))
    connection.execute(
        update(waves).where(waves.c.parent_step_id.in_(later), waves.c.state == "DONE").values(state="ABANDONED")
    )
    left = connection.execute(later).scalars().all()
    change_steps(connection, left, status="ABANDONED")
    sealing.reseal(connection, sealing.PENDING)


def change_steps(connection: Connection, step_ids: Sequence[int], **values: Any) -> None:
    """Changes the rows of some steps."""
    for step_id in step_ids:
        connection.execute(update(steps).where(steps.c.step_id == step_id).values(**values))
        sealing.seal_step(connection, step_id, with_rows=False)


def replace_evaluation(connection: Connection, evaluation: Evaluation) -> None:
    """Inserts an evaluation of a LIVE step, in place of one of the same step, set and kind."""
    step_id = _live_step_id(connection, evaluation.step)
    table = evaluations
    same = (table.c.step_id == step_id) & (table.c.set_name == evaluation.set_name) & (table.c.kind == evaluation.kind)
    replaced = list(connection.execute(select(table).where(same)))
    connection.execute(delete(table).where(same))
    row = {
        "step_id": step_id,
        "set_name": evaluation.set_name,
        "kind": evaluation.kind,
        "metrics": encode_metrics(evaluation.metrics),
        "outcomes": evaluation.outcomes,
        "reports": evaluation.reports,
        "searches": evaluation.searches,
        "committed_at": evaluation.committed_at,
    }
    insert_rows(connection, table, [row])
    changed = [*replaced, *connection.execute(select(table).where(same))]
    sealing.toggle(connection, sealing.EVALUATIONS, *(sealing.row_digest(each) for each in changed))


def now() -> str:
    """The time of day in UTC, as ISO 8601. It is a label for people."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def replace_checkpoint(connection: Connection, checkpoint: CheckpointRow) -> None:
    """Inserts a checkpoint of a LIVE step, in place of those of the same step or folder, whose files it replaced."""
    if _live_step_id(connection, checkpoint.step) != checkpoint.step_id:
        raise StoreError(f"the checkpoint is of step {checkpoint.step} in a branch that was left behind")
    table = checkpoints
    connection.execute(delete(table).where((table.c.step_id == checkpoint.step_id) | (table.c.path == checkpoint.path)))
    row = {
        "step_id": checkpoint.step_id,
        "path": checkpoint.path,
        "manifest_sha256": checkpoint.manifest_sha256,
        "weights_digest": checkpoint.weights_digest,
    }
    insert_rows(connection, table, [row])
    sealing.reseal(connection, sealing.CHECKPOINTS)


def _live_step_id(connection: Connection, step: int) -> int:
    found = connection.execute(select(steps.c.step_id).where(steps.c.status == "LIVE", steps.c.step == step)).scalar()
    if found is None:
        raise StoreError(f"the run has no step {step}: its head is at step {head_row(connection).step}")
    return int(found)


def _new_id(connection: Connection, table: Table, row: Row) -> int:
    return int(connection.execute(insert(table).values(row).returning(*table.primary_key)).scalar_one())


def _reward(reward: float | None, what: str) -> float | None:
    return None if reward is None else finite(reward, what)


def _share(value: float | None, what: str) -> float | None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise StoreError(f"{what} is {value!r}: it must be from 0 to 1")
    return value
