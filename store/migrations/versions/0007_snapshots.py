"""Snapshots of what the curriculum folds over history, and steps found by their number."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """A table and an index."""
    op.create_table(
        "snapshots",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_snapshots_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_snapshots")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_steps_step"), "steps", ["step", "seal"])
