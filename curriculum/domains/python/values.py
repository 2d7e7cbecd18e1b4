"""Values that programs take and give: plain data, bounded, read from literals, compared by type and content.

A value is None, a bool, an int, a finite float, a text of printable ASCII, or a list, tuple or dict of such. Comparison
is by type too: True is not 1, and 1.0 is not 1, since a program that gives one does not give the other. A literal is
read from its syntax tree; nothing is evaluated. Left out: sets, whose order is an accident, bytes and complex numbers.
"""

import ast
import math
import warnings
from typing import Any

Value = Any  # one of the above
MAX_DIGITS = 12  # of an int
MAX_ITEMS = 20  # of a list, tuple or dict
MAX_TEXT = 60  # characters of a text
MAX_DEPTH = 3  # lists in a list in a list
MAX_CHARS = 120  # of a value, as it is spelled


def is_printable(text: str) -> bool:
    """Whether it is spelled without escapes: printable ASCII, no backslash, at most one kind of quotes."""
    return all(" " <= each <= "~" and each != "\\" for each in text) and not ("'" in text and '"' in text)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether it is a value within the bounds. By exact type: subclasses may compare as they like."""
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return abs(value) < 10**MAX_DIGITS
    if kind is float:
        return math.isfinite(value)
    if kind is str:
        return len(value) <= MAX_TEXT and is_printable(value)
    if kind not in (list, tuple, dict) or depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        return False
    parts = [each for pair in value.items() for each in pair] if kind is dict else value
    return all(is_plain(each, depth + 1) for each in parts)


def is_same(a: Value, b: Value) -> bool:
    """Equal in type and content, all the way down. A dict's order counts for nothing."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, dict):
        return _as_pairs(a) == _as_pairs(b)
    if isinstance(a, float):
        return a == b and math.copysign(1.0, a) == math.copysign(1.0, b)
    return a == b


def spelled(value: Value) -> str:
    """As Python spells it: "[1, 'a']". It reads as the same value."""
    return repr(value)


def type_of(value: Value) -> str:
    """Its type's name, of a list with its items' where they share one: "int", "list of int"."""
    if isinstance(value, list) and value and len({type(each) for each in value}) == 1:
        return f"list of {type(value[0]).__name__}"
    return type(value).__name__


def read_value(text: str) -> Value:
    """The value of one literal; NOTHING where the text is anything else, or is out of bounds."""
    values = read_values(text)
    return values[0] if values is not None and len(values) == 1 else NOTHING


NOTHING = object()  # no value: None is one


def read_values(text: str) -> tuple[Value, ...] | None:
    """The values of literals between commas; None where the text is anything else, or one is out of bounds."""
    text = text.strip(" \t\r\n")
    if not 0 < len(text) <= MAX_CHARS or not all(" " <= each <= "~" and each != "\\" for each in text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's remarks on a text that a model wrote
            call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    # Whole, and one call: "1)(2" would be two.
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        return None
    values = tuple(value_of(each) for each in call.args)
    return None if not values or any(each is NOTHING for each in values) else values


def value_of(node: ast.expr, depth: int = 0) -> Value:
    """The value of a literal's syntax tree; NOTHING for one that is no literal or is out of bounds."""
    if depth > MAX_DEPTH:
        return NOTHING
    found: Value = NOTHING
    match node:
        case ast.Constant(value=value):
            found = value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            found = NOTHING if isinstance(number, bool) else -number
        case ast.List(elts=items):
            found = [value_of(each, depth + 1) for each in items]
        case ast.Tuple(elts=items):
            found = tuple(value_of(each, depth + 1) for each in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = [(value_of(k, depth + 1), value_of(v, depth + 1)) for k, v in zip(keys, values, strict=True) if k]
            if any(type(key) not in (int, str) for key, _ in pairs):
                return NOTHING
            found = dict(pairs)
    return found if is_plain(found, depth) and len(repr(found)) <= MAX_CHARS else NOTHING


def _as_pairs(value: dict[Any, Any]) -> list[str]:
    """Keys are texts and numbers, so that spelled pairs are equal where keys and values are."""
    return sorted(f"{key!r}: {each!r}" for key, each in value.items())
