"""Skills that challenger and solver write for themselves, and the rounds in which they do."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

OUTCOMES = (
    "'WRITTEN', 'NO_ROOM', 'TRUNCATED', 'UNPARSED', 'TAKEN', 'UNKNOWN', 'TOO_LARGE', 'FORGED', 'MISSED', 'UNCHANGED'"
)


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "skill_rounds",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("parent_version", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("action", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cases", sa.Text, nullable=False),
        sa.CheckConstraint("side IN ('CHALLENGER', 'SOLVER')", name=op.f("ck_skill_rounds_side")),
        sa.CheckConstraint(f"outcome IN ({OUTCOMES})", name=op.f("ck_skill_rounds_outcome")),
        sa.CheckConstraint("action IN ('ADD', 'MERGE')", name=op.f("ck_skill_rounds_action")),
        sa.CheckConstraint("parent_version >= 0", name=op.f("ck_skill_rounds_parent_version")),
        sa.CheckConstraint(
            "version - parent_version = CASE outcome WHEN 'WRITTEN' THEN 1 ELSE 0 END",
            name=op.f("ck_skill_rounds_version"),
        ),
        sa.ForeignKeyConstraint(("step_id",), ("steps.step_id",), name=op.f("fk_skill_rounds_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "side", name=op.f("pk_skill_rounds")),
        sqlite_strict=True,
    )
    op.create_table(
        "skills",
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("since_version", sa.Integer, nullable=False),
        sa.CheckConstraint("position >= 0 AND since_version >= 1", name=op.f("ck_skills_position")),
        sa.ForeignKeyConstraint(
            ("step_id", "side"),
            ("skill_rounds.step_id", "skill_rounds.side"),
            name=op.f("fk_skills_step_id_side_skill_rounds"),
        ),
        sa.PrimaryKeyConstraint("step_id", "side", "position", name=op.f("pk_skills")),
        sqlite_strict=True,
    )
