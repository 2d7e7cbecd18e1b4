"""How keys are declared: a dataclass field that carries the key's help and rule, so that they stand with the key.

    steps: int = key(100, "optimizer steps in all", count(1))

A key whose type is a Literal takes the values that it lists: code below declares them, and the key only names its type.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from selfplay.config.rules import Rule, one_of

HELP, RULE = "help", "rule"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, by its dotted name. `choices`: the values of an enumerated key, else empty. A section's key is the
    section itself; it has a help and no rule."""

    name: str
    help: str
    rule: Rule | None
    choices: tuple[str, ...]
    is_section: bool


def key(default: Any, help: str, rule: Rule | None = None) -> Any:
    """A field with this default, of which a list or a dictionary is copied for each configuration."""
    metadata = {HELP: help, RULE: rule}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(of: type, help: str) -> Any:
    """A field that holds the keys of a dataclass."""
    return field(default_factory=of, metadata={HELP: help, RULE: None})


def declared(of: type, prefix: str = "") -> Iterator[Key]:
    """Every section and key of a configuration's dataclass, in order: a section before the keys in it."""
    types = get_type_hints(of)
    for each in fields(of):
        name, kind = f"{prefix}{each.name}", types[each.name]
        yield _key(name, each, kind)
        if is_dataclass(kind):
            assert isinstance(kind, type)
            yield from declared(kind, f"{name}.")


def _key(name: str, declaration: Field, kind: Any) -> Key:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    rule = one_of(*choices) if choices else declaration.metadata.get(RULE)
    return Key(name, declaration.metadata.get(HELP, ""), rule, choices, is_dataclass(kind))
