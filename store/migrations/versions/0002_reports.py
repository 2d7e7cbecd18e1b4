"""What an attempt says of its own result, in training and in evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """Three columns, added in place: no table is rebuilt."""
    op.add_column("attempts", sa.Column("report", sa.Text))
    op.add_column("attempts", sa.Column("confidence", DOUBLE))
    op.add_column("evaluations", sa.Column("reports", sa.Text, nullable=False, server_default=""))
