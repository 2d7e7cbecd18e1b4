"""The queries of a page about many steps or problems, added up in the database.

They do not compare rows with their seals, which would read every row that a seal covers: `Store.damages` does that,
and so does whatever the curriculum decides by. Each function works inside the caller's transaction.
"""

from typing import Any

from sqlalchemy import Connection, Row, bindparam, text

from store.encoding import clean_text
from store.overview.records import (
    Listed,
    Measured,
    Place,
    ProblemLine,
    ProblemOrder,
    ProblemPage,
    ProblemQuery,
    ProposalLine,
    TurnMean,
)
from store.records import Fate, Origin, ProblemState, Proposal

_LIVE = "s.status = 'LIVE'"

_MEASURED = text(f"""
SELECT s.step, m.policy_version, m.problem_id, m.attempts, m.successes, m.state, m.rate,
    m.kept, m.broken, m.fixed, m.missed
FROM pass_rates m JOIN steps s ON s.step_id = m.step_id
WHERE {_LIVE} AND (:problem_id = '' OR m.problem_id = :problem_id)
ORDER BY s.step, m.ordinal""")

_LISTED = text(f"""
SELECT p.problem_id, p.family, p.level, p.origin, s.step
FROM problems p JOIN steps s ON s.step_id = p.admitted_step_id
WHERE {_LIVE} ORDER BY s.step, p.ordinal""")

_SET_EXAMPLES = text("SELECT set_name, text FROM held_out WHERE position = 0")

_FAMILY_EXAMPLES = text(f"""
SELECT p.family, p.text, max(s.step)
FROM problems p JOIN steps s ON s.step_id = p.admitted_step_id
WHERE {_LIVE} GROUP BY p.family""")

# The newest measurement of a problem has the highest step: beside max(), SQLite takes bare columns from that row.
_LINES = f"""
WITH live AS (SELECT step_id, step FROM steps s WHERE {_LIVE}),
tried AS (
    SELECT m.problem_id, max(live.step) AS last_step, m.state, m.rate,
        sum(m.attempts) AS attempts, sum(m.successes) AS successes
    FROM pass_rates m JOIN live ON live.step_id = m.step_id GROUP BY m.problem_id
),
lines AS (
    SELECT p.problem_id, p.text, p.answer, p.domain, p.family, p.level, p.origin, p.parent_id,
        live.step AS admitted_step, p.ordinal,
        tried.last_step, coalesce(tried.state, 'NEW') AS state, tried.rate,
        coalesce(tried.attempts, 0) AS attempts, coalesce(tried.successes, 0) AS successes
    FROM problems p JOIN live ON live.step_id = p.admitted_step_id LEFT JOIN tried ON tried.problem_id = p.problem_id
)"""

_ORDERS = {  # none is ever NULL, or a page could not begin behind it; what was never tried comes before all
    ProblemOrder.RATE: "coalesce(rate, -1.0)",
    ProblemOrder.ATTEMPTS: "attempts",
    ProblemOrder.ADMITTED: "admitted_step",
    ProblemOrder.LAST: "coalesce(last_step, -1)",
    ProblemOrder.LEVEL: "level",
    ProblemOrder.FAMILY: "family",
    ProblemOrder.TEXT: "text",
}

_PROPOSALS = f"""
SELECT s.step, s.step * 1000000 + q.ordinal AS place, q.*, p.text AS parent_text
FROM proposals q JOIN steps s ON s.step_id = q.step_id LEFT JOIN problems p ON p.problem_id = q.parent_id
WHERE {_LIVE}"""

_TURN_MEANS = text(f"""
SELECT s.step, t.turn, avg(t.reward) AS reward, count(t.reward) AS number
FROM turns t JOIN steps s ON s.step_id = t.step_id
WHERE {_LIVE} AND t.reward IS NOT NULL GROUP BY s.step, t.turn ORDER BY s.step, t.turn""")


def measured(connection: Connection, problem_id: str) -> list[Measured]:
    """What live steps measured, in order; of one problem, or of all for ""."""
    rows = connection.execute(_MEASURED, {"problem_id": clean_text(problem_id)})
    return [Measured(row.step, row.policy_version, row.problem_id, row.attempts, row.successes, _state(row), row.rate,
                     row.kept, row.broken, row.fixed, row.missed)
            for row in rows]  # fmt: skip


def listed(connection: Connection) -> list[Listed]:
    """All live problems, in the order of their admission."""
    return [Listed(row.problem_id, row.family, row.level, Origin(row.origin), row.step)
            for row in connection.execute(_LISTED)]  # fmt: skip


def problem_page(connection: Connection, query: ProblemQuery) -> ProblemPage:
    """One page of the problems that the query leaves."""
    conditions, values = _conditions(query)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    matching = int(connection.execute(text(f"{_LINES} SELECT count(*) FROM lines {where}"), values).scalar_one())
    key, order = _ORDERS[query.order], "DESC" if query.is_descending else "ASC"
    if query.after is not None:
        sign = "<" if query.is_descending else ">"
        conditions.append(f"(({key}) {sign} :at OR (({key}) = :at AND problem_id {sign} :id))")
        values |= {"at": query.after[0], "id": query.after[1]}
        where = f"WHERE {' AND '.join(conditions)}"
    wanted = f"SELECT *, {key} AS place FROM lines {where} ORDER BY {key} {order}, problem_id {order} LIMIT :limit"
    rows = connection.execute(text(f"{_LINES} {wanted}"), values | {"limit": query.limit + 1}).all()
    kept = rows[: query.limit]
    following: Place | None = (kept[-1].place, kept[-1].problem_id) if len(rows) > len(kept) else None
    return ProblemPage(tuple(_line(row) for row in kept), matching, following)


def problem_line(connection: Connection, problem_id: str) -> ProblemLine | None:
    """The line of one live problem, by its whole id; None where there is none."""
    query = text(f"{_LINES} SELECT * FROM lines WHERE problem_id = :id")
    row = connection.execute(query, {"id": clean_text(problem_id)}).first()
    return None if row is None else _line(row)


def children(connection: Connection, problem_id: str) -> list[ProblemLine]:
    """The live problems that were made of this one, in the order of their admission."""
    query = text(f"{_LINES} SELECT * FROM lines WHERE parent_id = :id ORDER BY admitted_step, ordinal")
    return [_line(row) for row in connection.execute(query, {"id": clean_text(problem_id)})]


def set_examples(connection: Connection) -> dict[str, str]:
    """The first member of each held-out set, by the set's name."""
    return {row.set_name: row.text for row in connection.execute(_SET_EXAMPLES)}


def family_examples(connection: Connection) -> dict[str, str]:
    """The newest live problem of each family."""
    return {row.family: row.text for row in connection.execute(_FAMILY_EXAMPLES)}


def lines_of_step(connection: Connection, step: int) -> list[ProblemLine]:
    """The problems that a step tried, in the order of the step."""
    tried = (
        "SELECT m.problem_id, m.ordinal AS place FROM pass_rates m JOIN live USING (step_id) WHERE live.step = :step"
    )
    query = text(f"{_LINES} SELECT lines.* FROM lines JOIN ({tried}) t USING (problem_id) ORDER BY t.place")
    return [_line(row) for row in connection.execute(query, {"step": step})]


def names(connection: Connection) -> dict[str, list[str]]:
    """The domains and families of all problems, by name: what a table of them can be filtered by."""
    query = "SELECT DISTINCT {0} FROM problems ORDER BY {0}"
    return {name: list(connection.execute(text(query.format(name))).scalars()) for name in ("domain", "family")}


def proposal_page(
    connection: Connection, fates: tuple[Fate, ...], step: int | None, before: int | None, limit: int
) -> tuple[list[ProposalLine], int | None]:
    """Proposals, newest first, and the place before which the next page begins. No `fates`: whatever became of them."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit + 1}
    if step is not None:
        conditions.append("s.step = :step")
        values["step"] = step
    if before is not None:
        conditions.append("place < :before")
        values["before"] = before
    if fates:
        conditions.append("q.fate IN :fates")
        values["fates"] = [fate.value for fate in fates]
    query = text(" AND ".join([_PROPOSALS, *conditions]) + " ORDER BY place DESC LIMIT :limit")
    query = query.bindparams(bindparam("fates", expanding=True)) if fates else query
    rows = connection.execute(query, values).all()
    kept = [_proposal_line(row) for row in rows[:limit]]
    return kept, kept[-1].place if len(rows) > len(kept) else None


def proposals_of(connection: Connection, problem_id: str) -> list[ProposalLine]:
    """The live proposals that said this problem, oldest first: the one that it was admitted by, and repetitions."""
    query = text(f"{_PROPOSALS} AND q.problem_id = :problem_id ORDER BY place")
    return [_proposal_line(row) for row in connection.execute(query, {"problem_id": clean_text(problem_id)})]


def turn_means(connection: Connection) -> list[TurnMean]:
    """What first tries, second looks ... were paid in each live step."""
    return [TurnMean(row.step, row.turn, row.reward, row.number) for row in connection.execute(_TURN_MEANS)]


def _conditions(query: ProblemQuery) -> tuple[list[str], dict[str, Any]]:
    """What the filters come to, as SQL with bound values."""
    found: dict[str, tuple[str, Any]] = {}
    if query.text:
        found["text"] = "(instr(lower(text), lower(:text)) OR problem_id = :text)", clean_text(query.text)
    for name in ("domain", "family"):
        if value := getattr(query, name):
            found[name] = f"{name} = :{name}", clean_text(value)
    if query.state is not None:
        found["state"] = "state = :state", query.state.value
    if query.origin is not None:
        found["origin"] = "origin = :origin", query.origin.value
    if query.min_rate is not None:
        found["min_rate"] = "rate >= :min_rate", query.min_rate
    if query.max_rate is not None:
        found["max_rate"] = "rate <= :max_rate", query.max_rate
    if query.step is not None:
        tried = "SELECT m.problem_id FROM pass_rates m JOIN live ON live.step_id = m.step_id WHERE live.step = :step"
        found["step"] = f"problem_id IN ({tried})", query.step
    return [condition for condition, _ in found.values()], {name: value for name, (_, value) in found.items()}


def _state(row: Row[Any]) -> ProblemState | None:
    return None if row.state is None else ProblemState(row.state)


def _line(row: Row[Any]) -> ProblemLine:
    return ProblemLine(
        problem_id=row.problem_id,
        text=row.text,
        answer=row.answer,
        domain=row.domain,
        family=row.family,
        level=row.level,
        origin=Origin(row.origin),
        state=ProblemState(row.state),
        admitted_step=row.admitted_step,
        last_step=row.last_step,
        attempts=row.attempts,
        successes=row.successes,
        rate=row.rate,
        parent_id=row.parent_id,
    )


def _proposal_line(row: Row[Any]) -> ProposalLine:
    said = Proposal(row.parent_id, row.target, row.proposal_index, row.text, Fate(row.fate), row.problem_id, row.reward)
    return ProposalLine(row.step, row.place, said, row.parent_text or "")
