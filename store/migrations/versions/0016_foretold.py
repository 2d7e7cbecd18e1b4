"""What was foretold of problems before anybody had tried them, and how likely the policy found its own proposals."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")


def upgrade() -> None:
    """A column that may be NULL, and one table."""
    op.add_column("proposals", sa.Column("logprob", DOUBLE))
    op.create_table(
        "foretold",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("beta_mean", DOUBLE, nullable=False),
        sa.Column("beta_strength", DOUBLE, nullable=False),
        sa.Column("features_mean", DOUBLE, nullable=False),
        sa.Column("features_strength", DOUBLE, nullable=False),
        sa.CheckConstraint(
            "0 <= beta_mean AND beta_mean <= 1 AND 0 <= features_mean AND features_mean <= 1",
            name=op.f("ck_foretold_means"),
        ),
        sa.CheckConstraint("beta_strength > 0 AND features_strength > 0", name=op.f("ck_foretold_strengths")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_foretold_step_id_steps")),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.problem_id"], name=op.f("fk_foretold_problem_id_problems")),
        sa.PrimaryKeyConstraint("step_id", "problem_id", name=op.f("pk_foretold")),
        sqlite_strict=True,
    )
