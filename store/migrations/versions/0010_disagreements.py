"""Turns that were paid by one verdict, and of which other means say the reverse."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

KEY = ("step_id", "problem_id", "attempt", "turn")


def upgrade() -> None:
    """One table."""
    op.create_table(
        "disagreements",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("is_right", sa.Integer, nullable=False),
        sa.Column("means", sa.Text, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('CORRECT', 'INCORRECT', 'UNPARSED', 'TRUNCATED', 'UNJUDGED')",
            name=op.f("ck_disagreements_outcome"),
        ),
        sa.CheckConstraint("is_right IN (0, 1)", name=op.f("ck_disagreements_is_right")),
        sa.ForeignKeyConstraint(
            KEY,
            [f"turns.{column}" for column in KEY],
            name=op.f("fk_disagreements_step_id_problem_id_attempt_turn_turns"),
        ),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_disagreements")),
        sqlite_strict=True,
    )
