"""A table or view as JSON, a page and a document have it."""

from typing import Any

from store.sql.relations import Relation


def relation_values(relation: Relation) -> dict[str, Any]:
    """Plain values. `refers_to` and `query` are None where there is none."""
    return {
        "name": relation.name,
        "is_view": relation.is_view,
        "description": relation.description,
        "columns": [
            {"name": each.name, "kind": each.kind.value, "description": each.description}
            | {"is_key": each.is_key, "refers_to": each.refers_to or None}
            for each in relation.columns
        ],
        "query": relation.query or None,
    }
