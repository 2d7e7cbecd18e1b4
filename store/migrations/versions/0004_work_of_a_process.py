"""What each process ran (configuration and code), what it cost, and which of them made a step."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

DOUBLE: sa.types.TypeEngine[float] = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")
WIDE: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Both tables are rebuilt in SQLite, which adds no constraint to one that stands."""
    strict = {"sqlite_strict": True}
    with op.batch_alter_table("incarnations", table_kwargs=strict) as table:
        table.add_column(sa.Column("config_digest", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("code_digest", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("seconds", DOUBLE, nullable=False, server_default="0"))
        table.add_column(sa.Column("peak_memory_bytes", WIDE, nullable=False, server_default="0"))
        table.create_check_constraint(op.f("ck_incarnations_use"), "seconds >= 0 AND peak_memory_bytes >= 0")
    with op.batch_alter_table("steps", copy_from=_steps()) as table:
        table.add_column(sa.Column("incarnation_id", sa.Integer))
        table.create_foreign_key(
            op.f("fk_steps_incarnation_id_incarnations"), "incarnations", ["incarnation_id"], ["incarnation_id"]
        )


def _steps() -> sa.Table:
    """The table at revision 0001, said whole: whether its CHECKs would be reflected depends on SQLAlchemy's version."""
    table = sa.Table(
        "steps",
        sa.MetaData(),
        sa.Column("step_id", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("parent_step_id", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("weights_digest", sa.Text, nullable=False),
        sa.Column("journal_file", sa.Text),
        sa.Column("journal_sha256", sa.Text),
        sa.Column("seconds", DOUBLE, nullable=False),
        sa.CheckConstraint("status IN ('LIVE', 'ABANDONED')", name=op.f("ck_steps_status")),
        sa.CheckConstraint("(step = 0) = (parent_step_id IS NULL)", name=op.f("ck_steps_root")),
        sa.CheckConstraint("journal_file IS NULL OR journal_sha256 IS NOT NULL", name=op.f("ck_steps_journal")),
        sa.CheckConstraint("policy_version >= 0", name=op.f("ck_steps_policy_version")),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_steps_seconds")),
        sa.CheckConstraint("step >= 0", name=op.f("ck_steps_step")),
        sa.ForeignKeyConstraint(["parent_step_id"], ["steps.step_id"], name=op.f("fk_steps_parent_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_steps")),
        sqlite_strict=True,
    )
    live = sa.text("status = 'LIVE'")
    sa.Index(op.f("uq_steps_live_step"), table.c.step, unique=True, sqlite_where=live, postgresql_where=live)
    return table
