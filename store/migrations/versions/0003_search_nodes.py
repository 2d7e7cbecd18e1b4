"""The trees that the judge searched, step by step of an answer, and what searches found in evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """One new table, and a column of evaluations."""
    op.add_column("evaluations", sa.Column("searches", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "search_nodes",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("node", sa.Integer, nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("logprob", DOUBLE, nullable=False),
        sa.Column("said", sa.Integer, nullable=False),
        sa.Column("visits", sa.Integer, nullable=False),
        sa.Column("mean", DOUBLE, nullable=False),
        sa.Column("leaves", sa.Integer, nullable=False),
        sa.Column("right_leaves", sa.Integer, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("value", DOUBLE),
        sa.Column("process", DOUBLE),
        sa.Column("outcome", sa.Text),
        sa.Column("merged_into", sa.Integer),
        sa.Column("advantage", DOUBLE),
        sa.CheckConstraint("(node = 0) = (parent IS NULL)", name=op.f("ck_search_nodes_root")),
        sa.CheckConstraint("node >= 0 AND (parent IS NULL OR parent < node)", name=op.f("ck_search_nodes_order")),
        sa.CheckConstraint(
            "num_tokens >= 0 AND said >= 0 AND visits >= 0 AND 0 <= right_leaves AND right_leaves <= leaves",
            name=op.f("ck_search_nodes_counts"),
        ),
        sa.CheckConstraint("0 <= mean AND mean <= 1", name=op.f("ck_search_nodes_mean")),
        sa.CheckConstraint(
            "outcome IN ('CORRECT', 'INCORRECT', 'UNPARSED', 'TRUNCATED', 'UNJUDGED')",
            name=op.f("ck_search_nodes_outcome"),
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_search_nodes_step_id_steps")),
        sa.ForeignKeyConstraint(
            ["problem_id"], ["problems.problem_id"], name=op.f("fk_search_nodes_problem_id_problems")
        ),
        sa.PrimaryKeyConstraint("step_id", "problem_id", "node", name=op.f("pk_search_nodes")),
        sqlite_strict=True,
    )
