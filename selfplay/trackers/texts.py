"""Nested values as flat ones, and as a table that trackers show."""

from collections.abc import Mapping
from typing import Any

_LONGEST = 500  # characters of a value in a table


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a/b": 1}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = value
    return found


def as_markdown(values: Mapping[str, Any]) -> str:
    """A table of names and values. Values stand as code: nothing of them is markup."""
    rows = [f"| {_code(name)} | {_code(value)} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])


def _code(value: Any) -> str:
    text = str(value)[:_LONGEST].replace("`", "'").replace("|", "¦")
    return f"`{' '.join(text.split())}`" if text.strip() else ""
