"""Seals, by which damaged rows are noticed (store/sealing.py); store/upgrade.py seals what stands."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Three columns, added in place, and a table."""
    for name in ("game_seal", "said_seal", "seal"):
        op.add_column("steps", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.create_table(
        "seals",
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_seals")),
        sqlite_strict=True,
    )
