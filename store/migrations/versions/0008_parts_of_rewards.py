"""What each turn's reward is the sum of, its score, what failed in judging it, and whether scores told tries apart."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """Columns that may be NULL are added in place."""
    op.add_column("turns", sa.Column("score", DOUBLE))
    op.add_column("turns", sa.Column("parts", sa.Text))
    op.add_column("turns", sa.Column("error", sa.Text))
    op.add_column("pass_rates", sa.Column("is_graded", sa.Integer))
