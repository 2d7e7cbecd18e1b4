"""Alarms: what a guard raised at a step, and what was over with it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """One table."""
    op.create_table(
        "alarms",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("figure", DOUBLE, nullable=False),
        sa.Column("threshold", DOUBLE, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("advice", sa.Text, nullable=False),
        sa.CheckConstraint("event IN ('RAISED', 'OVER')", name=op.f("ck_alarms_event")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_alarms_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "name", name=op.f("pk_alarms")),
        sqlite_strict=True,
    )
