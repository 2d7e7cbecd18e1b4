"""Which version of the solver's skills the probes picked."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")
_COUNTS = ("hard", "easy", "hard_solved", "easy_solved")


def upgrade() -> None:
    """One table."""
    op.create_table(
        "skill_picks",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTS),
        sa.Column("product", DOUBLE, nullable=False),
        sa.Column("used_as", sa.Integer),
        sa.CheckConstraint("version >= 0 AND used_as >= version", name=op.f("ck_skill_picks_version")),
        sa.CheckConstraint(
            "0 <= hard_solved AND hard_solved <= hard AND 0 <= easy_solved AND easy_solved <= easy",
            name=op.f("ck_skill_picks_solved"),
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_skill_picks_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "version", name=op.f("pk_skill_picks")),
        sqlite_strict=True,
    )
