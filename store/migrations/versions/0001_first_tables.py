"""The first tables. A frozen copy of store/schema.py at revision 0001: later changes get revisions of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")
WIDE: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes every table of a new run."""
    _runs()
    _outcomes()
    _problems()
    _attempts()
    _pass_rates()
    _waves()


def _runs() -> None:
    op.create_table(
        "incarnations",
        sa.Column("incarnation_id", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("head_step", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("incarnation_id", name=op.f("pk_incarnations")),
        sqlite_strict=True,
    )
    op.create_table(
        "steps",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("parent_step_id", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("weights_digest", sa.Text, nullable=False),
        sa.Column("journal_file", sa.Text),
        sa.Column("journal_sha256", sa.Text),
        sa.Column("seconds", DOUBLE, nullable=False),
        sa.CheckConstraint("status IN ('LIVE', 'ABANDONED')", name=op.f("ck_steps_status")),
        sa.CheckConstraint("(step = 0) = (parent_step_id IS NULL)", name=op.f("ck_steps_root")),
        sa.CheckConstraint("journal_file IS NULL OR journal_sha256 IS NOT NULL", name=op.f("ck_steps_journal")),
        sa.CheckConstraint("policy_version >= 0", name=op.f("ck_steps_policy_version")),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_steps_seconds")),
        sa.CheckConstraint("step >= 0", name=op.f("ck_steps_step")),
        sa.ForeignKeyConstraint(["parent_step_id"], ["steps.step_id"], name=op.f("fk_steps_parent_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_steps")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("uq_steps_live_step"),
        "steps",
        ["step"],
        unique=True,
        sqlite_where=sa.text("status = 'LIVE'"),
        postgresql_where=sa.text("status = 'LIVE'"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seed", WIDE, nullable=False),
        sa.Column("config_yaml", sa.Text, nullable=False),
        sa.Column("config_digest", sa.Text, nullable=False),
        sa.Column("code_digest", sa.Text, nullable=False),
        sa.Column("head_step_id", sa.Integer, nullable=False),
        sa.CheckConstraint("run_id = 1", name=op.f("ck_runs_single")),
        sa.ForeignKeyConstraint(["head_step_id"], ["steps.step_id"], name=op.f("fk_runs_head_step_id_steps")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
        sqlite_strict=True,
    )


def _outcomes() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("weights_digest", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_checkpoints_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_checkpoints")),
        sqlite_strict=True,
    )
    op.create_table(
        "evaluations",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("set_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("outcomes", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('full', 'interim')", name=op.f("ck_evaluations_kind")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_evaluations_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "set_name", "kind", name=op.f("pk_evaluations")),
        sqlite_strict=True,
    )


def _problems() -> None:
    op.create_table(
        "problems",
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("canonical", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("answer_source", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("admitted_step_id", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.CheckConstraint("origin IN ('SEED', 'CHALLENGER', 'PROCEDURAL')", name=op.f("ck_problems_origin")),
        sa.CheckConstraint("level >= 1", name=op.f("ck_problems_level")),
        sa.ForeignKeyConstraint(
            ["admitted_step_id"], ["steps.step_id"], name=op.f("fk_problems_admitted_step_id_steps")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["problems.problem_id"], name=op.f("fk_problems_parent_id_problems")),
        sa.PrimaryKeyConstraint("problem_id", name=op.f("pk_problems")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_problems_admitted_step_id"), "problems", ["admitted_step_id"])
    op.create_table(
        "proposals",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("target", sa.Integer, nullable=False),
        sa.Column("proposal_index", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("parent_id", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("fate", sa.Text, nullable=False),
        sa.Column("problem_id", sa.Text),
        sa.Column("reward", DOUBLE),
        sa.CheckConstraint("fate <> 'ACCEPTED' OR problem_id IS NOT NULL", name=op.f("ck_proposals_accepted")),
        sa.CheckConstraint(
            "fate IN ('ACCEPTED', 'SURPLUS', 'UNPARSED', 'TRUNCATED', 'INVALID', 'TOO_LARGE', "
            "'DUPLICATE', 'TRIVIAL_EDIT', 'HELD_OUT')",
            name=op.f("ck_proposals_fate"),
        ),
        sa.CheckConstraint("target >= 0 AND proposal_index >= 0", name=op.f("ck_proposals_position")),
        sa.ForeignKeyConstraint(["parent_id"], ["problems.problem_id"], name=op.f("fk_proposals_parent_id_problems")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_proposals_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "target", "proposal_index", name=op.f("pk_proposals")),
        sqlite_strict=True,
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("first_version", sa.Integer, nullable=False),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.CheckConstraint("0 <= first_version AND first_version <= last_version", name=op.f("ck_attempts_versions")),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_attempts_attempt")),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.problem_id"], name=op.f("fk_attempts_problem_id_problems")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_attempts_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "problem_id", "attempt", name=op.f("pk_attempts")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_attempts_problem_id"), "attempts", ["problem_id"])
    op.create_table(
        "turns",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("finish", sa.Text, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("reward", DOUBLE),
        sa.CheckConstraint("finish IN ('STOP', 'LENGTH')", name=op.f("ck_turns_finish")),
        sa.CheckConstraint("outcome <> 'UNJUDGED' OR reward IS NULL", name=op.f("ck_turns_unjudged")),
        sa.CheckConstraint(
            "outcome IN ('CORRECT', 'INCORRECT', 'UNPARSED', 'TRUNCATED', 'UNJUDGED')", name=op.f("ck_turns_outcome")
        ),
        sa.CheckConstraint("turn >= 0 AND num_tokens >= 0", name=op.f("ck_turns_counts")),
        sa.ForeignKeyConstraint(
            ["step_id", "problem_id", "attempt"],
            ["attempts.step_id", "attempts.problem_id", "attempts.attempt"],
            name=op.f("fk_turns_step_id_problem_id_attempt_attempts"),
        ),
        sa.PrimaryKeyConstraint("step_id", "problem_id", "attempt", "turn", name=op.f("pk_turns")),
        sqlite_strict=True,
    )


def _pass_rates() -> None:
    op.create_table(
        "pass_rates",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("successes", sa.Integer, nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("broken", sa.Integer, nullable=False),
        sa.Column("fixed", sa.Integer, nullable=False),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.CheckConstraint("0 <= successes AND successes <= attempts", name=op.f("ck_pass_rates_successes")),
        sa.CheckConstraint(
            "kept >= 0 AND broken >= 0 AND fixed >= 0 AND missed >= 0", name=op.f("ck_pass_rates_second_looks")
        ),
        sa.ForeignKeyConstraint(
            ["problem_id"], ["problems.problem_id"], name=op.f("fk_pass_rates_problem_id_problems")
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_pass_rates_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "problem_id", name=op.f("pk_pass_rates")),
        sqlite_strict=True,
    )


def _waves() -> None:
    op.create_table(
        "waves",
        sa.Column("wave_id", sa.Integer, nullable=False),
        sa.Column("parent_step_id", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("wave_key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("consumed_step_id", sa.Integer),
        sa.CheckConstraint("(state = 'CONSUMED') = (consumed_step_id IS NOT NULL)", name=op.f("ck_waves_consumed")),
        sa.CheckConstraint("state IN ('DONE', 'CONSUMED', 'ABANDONED')", name=op.f("ck_waves_state")),
        sa.ForeignKeyConstraint(["consumed_step_id"], ["steps.step_id"], name=op.f("fk_waves_consumed_step_id_steps")),
        sa.ForeignKeyConstraint(["parent_step_id"], ["steps.step_id"], name=op.f("fk_waves_parent_step_id_steps")),
        sa.PrimaryKeyConstraint("wave_id", name=op.f("pk_waves")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("uq_waves_pending"),
        "waves",
        ["parent_step_id", "wave_key"],
        unique=True,
        sqlite_where=sa.text("state = 'DONE'"),
        postgresql_where=sa.text("state = 'DONE'"),
    )
    op.create_table(
        "completions",
        sa.Column("wave_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("ids", sa.LargeBinary),
        sa.Column("logprobs", sa.LargeBinary),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("finish", sa.Text, nullable=False),
        sa.Column("first_version", sa.Integer, nullable=False),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.CheckConstraint("finish IN ('STOP', 'LENGTH')", name=op.f("ck_completions_finish")),
        sa.CheckConstraint("(ids IS NULL) = (logprobs IS NULL)", name=op.f("ck_completions_blobs")),
        sa.CheckConstraint(
            "0 <= first_version AND first_version <= last_version", name=op.f("ck_completions_versions")
        ),
        sa.ForeignKeyConstraint(["wave_id"], ["waves.wave_id"], name=op.f("fk_completions_wave_id_waves")),
        sa.PrimaryKeyConstraint("wave_id", "position", name=op.f("pk_completions")),
        sqlite_strict=True,
    )
