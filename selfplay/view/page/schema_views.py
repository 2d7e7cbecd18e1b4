"""The database of a run: what each table and view of it has, as plain values."""

from typing import Any

from selfplay.machine.run_folder import DATABASE
from selfplay.view.database.relation_values import relation_values
from selfplay.view.page.library import Library
from selfplay.view.page.run_views import header
from store.sql.relations import tables, views
from store.sql.store import SqlStore


def schema(library: Library, name: str) -> dict[str, Any]:
    """Tables with how many rows they have, views with their queries."""
    with library.source(name) as source:
        run = header(library, name, source)
    with SqlStore.open_readonly(library.run_folder(name) / DATABASE, busy_seconds=2.0) as store:
        counted = [relation_values(each) | {"rows": store.num_rows(each)} for each in tables()]
    return {"run": run, "tables": counted, "views": [relation_values(each) for each in views()]}
