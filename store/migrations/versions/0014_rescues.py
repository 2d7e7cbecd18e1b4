"""Groups of attempts at problems that are being rescued: with help, or bare again."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "rescues",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("given", sa.Integer, nullable=False),
        sa.Column("pieces", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("successes", sa.Integer, nullable=False),
        sa.CheckConstraint("kind IN ('HINT', 'SUBPROBLEM', 'REVERSE')", name=op.f("ck_rescues_kind")),
        sa.CheckConstraint("0 <= given AND given <= pieces", name=op.f("ck_rescues_given")),
        sa.CheckConstraint("0 <= successes AND successes <= attempts", name=op.f("ck_rescues_successes")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_rescues_step_id_steps")),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.problem_id"], name=op.f("fk_rescues_problem_id_problems")),
        sa.PrimaryKeyConstraint("step_id", "problem_id", name=op.f("pk_rescues")),
        sqlite_strict=True,
    )
