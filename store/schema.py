"""The tables. Text, Integer, REAL and BLOB only, so that they are STRICT in SQLite and plain in PostgreSQL.

Every constraint has a name (a batch migration silently drops unnamed CHECKs). Migrations repeat this schema, frozen
per revision; a test holds the two together. Left out: how rows become records (reading.py, writing.py).
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION
from sqlalchemy.types import TypeEngine

from store.records import (
    AlarmEvent,
    Fate,
    Finish,
    HelpKind,
    Origin,
    Outcome,
    ProbeKind,
    RoundOutcome,
    Side,
    SkillAction,
    StepStatus,
)

SCHEMA_REVISION = "0017"  # the newest revision in migrations/versions; revisions sort as text
EVALUATION_KINDS = ("full", "interim")
WAVE_STATES = ("DONE", "CONSUMED", "ABANDONED")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

Double: TypeEngine[float] = REAL().with_variant(
    DOUBLE_PRECISION(), "postgresql"
)  # PostgreSQL's REAL has 4 bytes, SQLite's 8
Wide: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's INTEGER has 8 bytes, PostgreSQL's 4


def _table(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True)


def _one_of(column: str, values: type[StrEnum] | Iterable[str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def _check(name: str, rule: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)


def _required(name: str, kind: Any, *parts: Any, server_default: str | None = None) -> Column[Any]:
    return Column(name, kind, *parts, nullable=False, server_default=server_default)


def _step_id(name: str = "step_id") -> Column[Any]:
    return Column(name, Integer, ForeignKey("steps.step_id"), nullable=False)


runs = _table(
    "runs",
    Column("run_id", Integer, primary_key=True),
    _required("name", Text),
    _required("seed", Wide),
    _required("config_yaml", Text),
    _required("config_digest", Text),
    _required("code_digest", Text),
    _step_id("head_step_id"),
    _check("single", "run_id = 1"),
)

incarnations = _table(
    "incarnations",
    Column("incarnation_id", Integer, primary_key=True),
    _required("started_at", Text),
    _required("fingerprint", Text),
    _required("head_step", Integer),
    _required("note", Text),
    _required("config_digest", Text, server_default=""),
    _required("code_digest", Text, server_default=""),
    _required("seconds", Double, server_default="0"),
    _required("peak_memory_bytes", Wide, server_default="0"),
    _check("use", "seconds >= 0 AND peak_memory_bytes >= 0"),
)

steps = _table(
    "steps",
    Column("step_id", Integer, primary_key=True),
    _required("step", Integer),
    Column("parent_step_id", Integer, ForeignKey("steps.step_id")),
    _required("status", Text),
    _required("policy_version", Integer),
    _required("metrics", Text),
    _required("weights_digest", Text),
    Column("journal_file", Text),
    Column("journal_sha256", Text),
    _required("seconds", Double),
    Column("incarnation_id", Integer, ForeignKey("incarnations.incarnation_id")),  # NULL: step 0, or made before 0004
    _required("game_seal", Text, server_default=""),  # of what the curriculum folds over (store/sealing.py)
    _required("said_seal", Text, server_default=""),  # ... of attempts, turns, searches and consumed waves
    _required("seal", Text, server_default=""),  # ... of this row
    Column("committed_at", Text),  # ISO 8601, UTC: a label; NULL: made before 0006
    _one_of("status", StepStatus),
    _check("step", "step >= 0"),
    _check("root", "(step = 0) = (parent_step_id IS NULL)"),
    _check("policy_version", "policy_version >= 0"),
    _check("journal", "journal_file IS NULL OR journal_sha256 IS NOT NULL"),
    _check("seconds", "seconds >= 0"),
)
Index(
    "uq_steps_live_step",
    steps.c.step,
    unique=True,
    sqlite_where=text("status = 'LIVE'"),
    postgresql_where=text("status = 'LIVE'"),
)

Index("ix_steps_step", steps.c.step, steps.c.seal)  # all seals are read at every start: not from rows of kilobytes

problems = _table(
    "problems",
    Column("problem_id", Text, primary_key=True, nullable=False),
    _required("domain", Text),
    _required("text", Text),
    _required("canonical", Text),
    _required("family", Text),
    _required("level", Integer),
    _required("answer", Text),
    _required("answer_source", Text),
    _required("origin", Text),
    Column("parent_id", Text, ForeignKey("problems.problem_id")),
    _step_id("admitted_step_id"),
    _required("ordinal", Integer),  # place in its step, so that a fold over history sees the order of the commit
    _one_of("origin", Origin),
    _check("level", "level >= 1"),
    Index("ix_problems_admitted_step_id", "admitted_step_id"),
)

# A DUPLICATE may be of a proposal that found no room, which is no row of problems: so problem_id refers to none.
proposals = _table(
    "proposals",
    _step_id(),
    _required("target", Integer),
    _required("proposal_index", Integer),
    _required("ordinal", Integer),
    _required("parent_id", Text, ForeignKey("problems.problem_id")),
    _required("text", Text),
    _required("fate", Text),
    Column("problem_id", Text),
    Column("reward", Double),
    Column("logprob", Double),
    PrimaryKeyConstraint("step_id", "target", "proposal_index"),
    _one_of("fate", Fate),
    _check("position", "target >= 0 AND proposal_index >= 0"),
    _check("accepted", "fate <> 'ACCEPTED' OR problem_id IS NOT NULL"),
)

attempts = _table(
    "attempts",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("attempt", Integer),
    _required("first_version", Integer),
    _required("last_version", Integer),
    Column("report", Text),
    Column("confidence", Double),
    PrimaryKeyConstraint("step_id", "problem_id", "attempt"),
    _check("attempt", "attempt >= 0"),
    _check("versions", "0 <= first_version AND first_version <= last_version"),
    Index("ix_attempts_problem_id", "problem_id"),
)

turns = _table(
    "turns",
    _required("step_id", Integer),
    _required("problem_id", Text),
    _required("attempt", Integer),
    _required("turn", Integer),
    _required("text", Text),
    Column("answer", Text),
    _required("outcome", Text),
    _required("finish", Text),
    _required("num_tokens", Integer),
    Column("reward", Double),
    Column("score", Double),
    Column("parts", Text),  # JSON, names -> numbers, in order: what `reward` is the sum of
    Column("error", Text),  # NULL: nothing failed, or made before 0008
    PrimaryKeyConstraint("step_id", "problem_id", "attempt", "turn"),
    ForeignKeyConstraint(
        ["step_id", "problem_id", "attempt"], ["attempts.step_id", "attempts.problem_id", "attempts.attempt"]
    ),
    _one_of("outcome", Outcome),
    _one_of("finish", Finish),
    _check("counts", "turn >= 0 AND num_tokens >= 0"),
    _check("unjudged", "outcome <> 'UNJUDGED' OR reward IS NULL"),
)

pass_rates = _table(
    "pass_rates",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("ordinal", Integer),
    _required("policy_version", Integer),
    _required("attempts", Integer),
    _required("successes", Integer),
    _required("kept", Integer),
    _required("broken", Integer),
    _required("fixed", Integer),
    _required("missed", Integer),
    Column("state", Text),  # where the problem stood after this, as the curriculum folds it; NULL: made before 0006
    Column("rate", Double),  # ... and its pass rate, as the curriculum foretold it then
    Column("is_graded", Integer),  # 0 or 1: did first tries that fared alike differ in score; NULL: made before 0008
    PrimaryKeyConstraint("step_id", "problem_id"),
    _check("successes", "0 <= successes AND successes <= attempts"),
    _check("second_looks", "kept >= 0 AND broken >= 0 AND fixed >= 0 AND missed >= 0"),
)

search_nodes = _table(
    "search_nodes",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("node", Integer),
    Column("parent", Integer),
    _required("text", Text),
    _required("num_tokens", Integer),
    _required("logprob", Double),
    _required("said", Integer),
    _required("visits", Integer),
    _required("mean", Double),
    _required("leaves", Integer),
    _required("right_leaves", Integer),  # RIGHT is a word of SQL
    _required("policy_version", Integer),
    Column("value", Double),
    Column("process", Double),
    Column("outcome", Text),
    Column("merged_into", Integer),
    Column("advantage", Double),
    PrimaryKeyConstraint("step_id", "problem_id", "node"),
    _one_of("outcome", Outcome),
    _check("root", "(node = 0) = (parent IS NULL)"),
    _check("order", "node >= 0 AND (parent IS NULL OR parent < node)"),
    _check("counts", "num_tokens >= 0 AND said >= 0 AND visits >= 0 AND 0 <= right_leaves AND right_leaves <= leaves"),
    _check("mean", "0 <= mean AND mean <= 1"),
)

alarms = _table(
    "alarms",
    _step_id(),
    _required("name", Text),
    _required("ordinal", Integer),
    _required("event", Text),
    _required("figure", Double),
    _required("threshold", Double),
    _required("text", Text),
    _required("advice", Text),
    PrimaryKeyConstraint("step_id", "name"),
    _one_of("event", AlarmEvent),
)

disagreements = _table(
    "disagreements",
    _required("step_id", Integer),
    _required("problem_id", Text),
    _required("attempt", Integer),
    _required("turn", Integer),
    _required("outcome", Text),
    _required("is_right", Integer),
    _required("means", Text),
    PrimaryKeyConstraint("step_id", "problem_id", "attempt", "turn"),
    ForeignKeyConstraint(
        ["step_id", "problem_id", "attempt", "turn"],
        ["turns.step_id", "turns.problem_id", "turns.attempt", "turns.turn"],
    ),
    _one_of("outcome", Outcome),
    _check("is_right", "is_right IN (0, 1)"),
)

probes = _table(
    "probes",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("kind", Text),
    _required("rate", Double),
    PrimaryKeyConstraint("step_id", "problem_id"),
    _one_of("kind", ProbeKind),
    _check("rate", "0 <= rate AND rate <= 1"),
)

probe_answers = _table(  # greedy first tries by the weights that a step made
    "probe_answers",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("is_right", Integer),
    PrimaryKeyConstraint("step_id", "problem_id"),
    _check("is_right", "is_right IN (0, 1)"),
)

picks = _table(
    "picks",
    Column("step_id", Integer, ForeignKey("steps.step_id"), primary_key=True),
    _step_id("best_step_id"),
    _required("hard", Integer),
    _required("easy", Integer),
    _required("hard_solved", Integer),
    _required("easy_solved", Integer),
    _required("product", Double),
    _required("best_hard_solved", Integer),
    _required("best_easy_solved", Integer),
    _required("best_product", Double),
    _required("standard_error", Double),
    _required("policy_version", Integer),
    _required("is_rollback", Integer),
    Column("committed_at", Text),
    _check("hard", "0 <= hard_solved AND hard_solved <= hard AND 0 <= best_hard_solved AND best_hard_solved <= hard"),
    _check("easy", "0 <= easy_solved AND easy_solved <= easy AND 0 <= best_easy_solved AND best_easy_solved <= easy"),
    _check("policy_version", "policy_version >= 0"),
    _check("is_rollback", "is_rollback IN (0, 1)"),
)

skill_rounds = _table(
    "skill_rounds",
    _step_id(),
    _required("side", Text),
    _required("outcome", Text),
    _required("parent_version", Integer),
    _required("version", Integer),
    Column("action", Text),
    _required("name", Text),
    _required("reason", Text),
    _required("cases", Text),  # JSON, ids of problems in order
    PrimaryKeyConstraint("step_id", "side"),
    _one_of("side", Side),
    _one_of("outcome", RoundOutcome),
    _one_of("action", SkillAction),
    _check("parent_version", "parent_version >= 0"),
    _check("version", "version - parent_version = CASE outcome WHEN 'WRITTEN' THEN 1 ELSE 0 END"),
)

skills = _table(  # the set that a round wrote, whole
    "skills",
    _required("step_id", Integer),
    _required("side", Text),
    _required("position", Integer),
    _required("name", Text),
    _required("body", Text),
    _required("since_version", Integer),
    PrimaryKeyConstraint("step_id", "side", "position"),
    ForeignKeyConstraint(["step_id", "side"], ["skill_rounds.step_id", "skill_rounds.side"]),
    _check("position", "position >= 0 AND since_version >= 1"),
)

skill_picks = _table(
    "skill_picks",
    _step_id(),
    _required("version", Integer),
    *(_required(name, Integer) for name in ("hard", "easy", "hard_solved", "easy_solved")),
    _required("product", Double),
    Column("used_as", Integer),
    PrimaryKeyConstraint("step_id", "version"),
    _check("version", "version >= 0 AND used_as >= version"),
    _check("solved", "0 <= hard_solved AND hard_solved <= hard AND 0 <= easy_solved AND easy_solved <= easy"),
)

rescues = _table(
    "rescues",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("kind", Text),
    _required("given", Integer),
    _required("pieces", Integer),
    _required("attempts", Integer),
    _required("successes", Integer),
    PrimaryKeyConstraint("step_id", "problem_id"),
    _one_of("kind", HelpKind),
    _check("given", "0 <= given AND given <= pieces"),
    _check("successes", "0 <= successes AND successes <= attempts"),
)

foretold = _table(
    "foretold",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("beta_mean", Double),
    _required("beta_strength", Double),
    _required("features_mean", Double),
    _required("features_strength", Double),
    PrimaryKeyConstraint("step_id", "problem_id"),
    _check("means", "0 <= beta_mean AND beta_mean <= 1 AND 0 <= features_mean AND features_mean <= 1"),
    _check("strengths", "beta_strength > 0 AND features_strength > 0"),
)

experiences = _table(
    "experiences",
    _step_id(),
    _required("problem_id", Text, ForeignKey("problems.problem_id")),
    _required("state_index", Integer),
    _required("place", Integer),
    _required("state", Text),
    _required("action", Text),
    _required("next_state", Text),
    _required("is_expert", Integer),
    Column("is_right", Integer),
    _required("policy_version", Integer),
    Column("reflection", Text),
    Column("is_kept", Integer),
    PrimaryKeyConstraint("step_id", "problem_id", "state_index", "place"),
    _check("is_expert", "is_expert IN (0, 1)"),
    _check("is_right", "is_right IN (0, 1)"),
    _check("is_kept", "is_kept IN (0, 1)"),
)

waves = _table(
    "waves",
    Column("wave_id", Integer, primary_key=True),
    _step_id("parent_step_id"),  # the head when the wave was sampled
    _required("step", Integer),
    _required("wave_key", Text),
    _required("state", Text),
    Column("consumed_step_id", Integer, ForeignKey("steps.step_id")),
    _one_of("state", WAVE_STATES),
    _check("consumed", "(state = 'CONSUMED') = (consumed_step_id IS NOT NULL)"),
)
# Only pending waves are unique: after a rewind the same parent samples the same keys again.
Index(
    "uq_waves_pending",
    waves.c.parent_step_id,
    waves.c.wave_key,
    unique=True,
    sqlite_where=text("state = 'DONE'"),
    postgresql_where=text("state = 'DONE'"),
)

completions = _table(
    "completions",
    _required("wave_id", Integer, ForeignKey("waves.wave_id")),
    _required("position", Integer),
    Column("ids", LargeBinary),  # int32, little endian; NULL once consumed
    Column("logprobs", LargeBinary),  # float64, little endian; NULL once consumed
    _required("num_tokens", Integer),
    _required("text", Text),
    _required("finish", Text),
    _required("first_version", Integer),
    _required("last_version", Integer),
    PrimaryKeyConstraint("wave_id", "position"),
    _one_of("finish", Finish),
    _check("blobs", "(ids IS NULL) = (logprobs IS NULL)"),
    _check("versions", "0 <= first_version AND first_version <= last_version"),
)

checkpoints = _table(
    "checkpoints",
    Column("step_id", Integer, ForeignKey("steps.step_id"), primary_key=True),
    _required("path", Text),
    _required("manifest_sha256", Text),
    _required("weights_digest", Text),
)

evaluations = _table(
    "evaluations",
    _step_id(),
    _required("set_name", Text),
    _required("kind", Text),
    _required("metrics", Text),
    _required("outcomes", Text),
    Column("reports", Text, nullable=False, server_default=""),
    Column("searches", Text, nullable=False, server_default=""),
    Column("committed_at", Text),
    PrimaryKeyConstraint("step_id", "set_name", "kind"),
    _one_of("kind", EVALUATION_KINDS),
)

seals = _table(
    "seals",
    Column("part", Text, nullable=False),
    _required("seal", Text),
    PrimaryKeyConstraint("part"),
)

snapshots = _table(  # what the curriculum folds, as of a step: made anew of history wherever it is not believed
    "snapshots",
    Column("step_id", Integer, ForeignKey("steps.step_id"), primary_key=True),
    _required("label", Text),  # a digest of all that it depends on (curriculum/tracking/snapshot.py)
    _required("packed", LargeBinary),
)

held_out = _table(  # the members of every evaluation set, in the order of `outcomes`
    "held_out",
    _required("set_name", Text),
    _required("position", Integer),
    _required("problem_id", Text),  # of no row of problems: these are never trained on
    _required("text", Text),
    _required("canonical", Text),
    _required("family", Text),
    _required("level", Integer),
    _required("answer", Text),
    PrimaryKeyConstraint("set_name", "position"),
    _check("position", "position >= 0"),
)
