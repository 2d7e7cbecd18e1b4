"""Probes, what the weights of checkpoints answered to them, and what was picked by these answers."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """Three tables."""
    op.create_table(
        "probes",
        *_key("probes"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("rate", DOUBLE, nullable=False),
        sa.CheckConstraint("kind IN ('HARD', 'EASY')", name=op.f("ck_probes_kind")),
        sa.CheckConstraint("0 <= rate AND rate <= 1", name=op.f("ck_probes_rate")),
        sqlite_strict=True,
    )
    op.create_table(
        "probe_answers",
        *_key("probe_answers"),
        sa.Column("is_right", sa.Integer, nullable=False),
        sa.CheckConstraint("is_right IN (0, 1)", name=op.f("ck_probe_answers_is_right")),
        sqlite_strict=True,
    )
    op.create_table(
        "picks",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("best_step_id", sa.Integer, nullable=False),
        sa.Column("hard", sa.Integer, nullable=False),
        sa.Column("easy", sa.Integer, nullable=False),
        sa.Column("hard_solved", sa.Integer, nullable=False),
        sa.Column("easy_solved", sa.Integer, nullable=False),
        sa.Column("product", DOUBLE, nullable=False),
        sa.Column("best_hard_solved", sa.Integer, nullable=False),
        sa.Column("best_easy_solved", sa.Integer, nullable=False),
        sa.Column("best_product", DOUBLE, nullable=False),
        sa.Column("standard_error", DOUBLE, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("is_rollback", sa.Integer, nullable=False),
        sa.Column("committed_at", sa.Text, nullable=True),
        _solved("hard"),
        _solved("easy"),
        sa.CheckConstraint("policy_version >= 0", name=op.f("ck_picks_policy_version")),
        sa.CheckConstraint("is_rollback IN (0, 1)", name=op.f("ck_picks_is_rollback")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_picks_step_id_steps")),
        sa.ForeignKeyConstraint(["best_step_id"], ["steps.step_id"], name=op.f("fk_picks_best_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_picks")),
        sqlite_strict=True,
    )


def _key(table: str) -> list[sa.schema.SchemaItem]:
    """A step and a problem, each of its own table."""
    return [
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f(f"fk_{table}_step_id_steps")),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.problem_id"], name=op.f(f"fk_{table}_problem_id_problems")),
        sa.PrimaryKeyConstraint("step_id", "problem_id", name=op.f(f"pk_{table}")),
    ]


def _solved(kind: str) -> sa.CheckConstraint:
    counts = (f"{kind}_solved", f"best_{kind}_solved")
    rule = " AND ".join(f"0 <= {each} AND {each} <= {kind}" for each in counts)
    return sa.CheckConstraint(rule, name=op.f(f"ck_picks_{kind}"))
