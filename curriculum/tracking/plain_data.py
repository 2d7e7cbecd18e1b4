"""Objects as plain data and back, exactly: numbers, texts and lists that JSON holds, column by column.

Only classes that the caller names are made again, and only by their fields, so what is read can hold no code. Values
of one class stand together, a list for each field: walking from object to object takes ten times as long.
Left out: references. An object that is reached in two ways comes back as two.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from curriculum.tracking.pool import Pool

Classes = Mapping[str, type]
_SCALARS = {int, float, str, bool, type(None)}
_SERIES: Mapping[type, Callable[[Iterable[Any]], Any]] = {list: list, tuple: tuple, deque: deque, Pool: Pool.of}
_SERIES_NAMES = {kind.__name__: make for kind, make in _SERIES.items()}


def encode(values: Sequence[Any], classes: Classes) -> dict[str, Any]:
    """A node that JSON holds. TypeError for a value of any other class than `classes`, series, dicts and scalars."""
    kinds = list(dict.fromkeys(map(type, values)))
    if set(kinds) <= _SCALARS:
        return {"kind": "plain", "values": list(values)}
    if len(kinds) > 1:
        places = {kind: place for place, kind in enumerate(kinds)}
        parts = [[value for value in values if type(value) is kind] for kind in kinds]
        return {"kind": "mixed", "of": [places[type(v)] for v in values], "parts": [encode(p, classes) for p in parts]}
    (kind,) = kinds
    if kind in _SERIES:
        return {"kind": kind.__name__} | _lengths(values) | {"items": encode([*chain.from_iterable(values)], classes)}
    if kind is dict:
        items = [value.values() for value in values]
        nodes = (encode([*chain.from_iterable(part)], classes) for part in (values, items))
        return {"kind": "dict"} | _lengths(values) | dict(zip(("keys", "items"), nodes, strict=True))
    if classes.get(kind.__name__) is not kind:
        raise TypeError(f"{kind.__name__} is not among the classes that are kept")
    if issubclass(kind, Enum):
        return {"kind": kind.__name__, "values": [value.value for value in values]}
    columns = [encode([*map(attrgetter(field.name), values)], classes) for field in fields(kind)]  # type: ignore[arg-type]  # TypeError for no dataclass
    return {"kind": kind.__name__, "columns": columns}


def decode(node: Mapping[str, Any], classes: Classes) -> list[Any]:
    """The inverse of `encode`. What `encode` has not made raises ValueError, TypeError, LookupError or the like."""
    kind = node["kind"]
    if kind == "plain":
        return list(node["values"])
    if kind == "mixed":
        parts = [iter(decode(part, classes)) for part in node["parts"]]
        return [next(parts[place]) for place in node["of"]]
    if kind in _SERIES_NAMES:
        items = iter(decode(node["items"], classes))
        return [_SERIES_NAMES[kind](islice(items, length)) for length in node["lengths"]]
    if kind == "dict":
        pairs = zip(decode(node["keys"], classes), decode(node["items"], classes), strict=True)
        return [dict(islice(pairs, length)) for length in node["lengths"]]
    found = classes[kind]
    if issubclass(found, Enum):
        members = {member.value: member for member in found}
        return [members[value] for value in node["values"]]
    if not is_dataclass(found):
        raise TypeError(f"{kind} has no fields")
    return [found(*row) for row in zip(*(decode(column, classes) for column in node["columns"]), strict=True)]


def _lengths(values: Sequence[Any]) -> dict[str, Any]:
    return {"lengths": [len(value) for value in values]}
