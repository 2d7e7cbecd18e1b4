"""When steps and evaluations were stored, where problems stood after each step, and the members of held-out sets."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """Columns that may be NULL are added in place."""
    op.add_column("steps", sa.Column("committed_at", sa.Text))
    op.add_column("evaluations", sa.Column("committed_at", sa.Text))
    op.add_column("pass_rates", sa.Column("state", sa.Text))
    op.add_column("pass_rates", sa.Column("rate", DOUBLE))
    op.create_table(
        "held_out",
        sa.Column("set_name", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("canonical", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_held_out_position")),
        sa.PrimaryKeyConstraint("set_name", "position", name=op.f("pk_held_out")),
        sqlite_strict=True,
    )
