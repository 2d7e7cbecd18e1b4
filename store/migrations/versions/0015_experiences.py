"""Early experience: what came of actions that nobody was paid for."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "experiences",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("problem_id", sa.Text, nullable=False),
        sa.Column("state_index", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("next_state", sa.Text, nullable=False),
        sa.Column("is_expert", sa.Integer, nullable=False),
        sa.Column("is_right", sa.Integer),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("reflection", sa.Text),
        sa.Column("is_kept", sa.Integer),
        sa.CheckConstraint("is_expert IN (0, 1)", name=op.f("ck_experiences_is_expert")),
        sa.CheckConstraint("is_right IN (0, 1)", name=op.f("ck_experiences_is_right")),
        sa.CheckConstraint("is_kept IN (0, 1)", name=op.f("ck_experiences_is_kept")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_experiences_step_id_steps")),
        sa.ForeignKeyConstraint(
            ["problem_id"], ["problems.problem_id"], name=op.f("fk_experiences_problem_id_problems")
        ),
        sa.PrimaryKeyConstraint("step_id", "problem_id", "state_index", "place", name=op.f("pk_experiences")),
        sqlite_strict=True,
    )
