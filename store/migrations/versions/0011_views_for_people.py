"""Views for people who ask in SQL. Every upgrade makes them anew (store/upgrade.py): no table changes."""

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Nothing: this revision says that the views of store/sql/views.py are there, by the names that they have now."""
