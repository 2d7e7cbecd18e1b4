"""Run by Alembic for every migration command. The caller (store/upgrade.py) hands over an open transaction.

Left out: offline mode and a database address in a file; the store always migrates a connection it holds.
"""

from alembic import context

from store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by rebuilding it
)
with context.begin_transaction():
    context.run_migrations()
