"""Runs a program on arguments in the sandbox, twice, and says what comes out as plain data.

Both runs are in sessions of their own, under different seeds: a program whose values differ has none. The guest says of
each value whether it is plain data and spells it; the host reads that as a literal. The calls of one execution
share a session, with fresh arguments and a full meter each: a program has nowhere to keep anything between them.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from curriculum.domains.python.metering import MAX_STEPS, METER, metered
from curriculum.domains.python.syntax import Program
from curriculum.domains.python.values import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    NOTHING,
    Value,
    is_same,
    read_value,
    spelled,
)
from curriculum.sandbox import SandboxFailure, execute_program

_SEEDS = (0, 7)  # of the two executions


_RUNNER = f"""\
_said = []
def _is_plain(value, depth):
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is float:
        return True
    if kind is str:
        return len(value) <= {MAX_TEXT}
    if depth >= {MAX_DEPTH} or (kind is not list and kind is not tuple and kind is not dict):
        return False
    if len(value) > {MAX_ITEMS}:
        return False
    if kind is dict:
        for key in value:
            if not _is_plain(key, depth + 1) or not _is_plain(value[key], depth + 1):
                return False
        return True
    for each in value:
        if not _is_plain(each, depth + 1):
            return False
    return True
def _given(*arguments):
    _left[0] = {MAX_STEPS}
    try:
        value = f(*arguments)
        _said.append(repr(value) if _is_plain(value, 0) else '!no plain value')
    except Exception as error:
        _said.append('!' + type(error).__name__)
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program has no value, in a word or a line."""

    reason: str


def outputs_of(program: Program, calls: Sequence[tuple[Value, ...]]) -> list[Value | Failure]:
    """What `f` gives for each tuple of arguments, in order. A call that fails leaves the others their values, unless
    it takes more memory or time than there is: then all fail."""
    return list(_cached(program.source, tuple(", ".join(map(spelled, call)) for call in calls)))


def output_of(program: Program, call: tuple[Value, ...]) -> Value | Failure:
    """What `f` gives for these arguments."""
    return outputs_of(program, [call])[0]


@lru_cache(maxsize=16384)
def _cached(source: str, calls: tuple[str, ...]) -> tuple[Value | Failure, ...]:
    lines = "".join(f"_given({call})\n" for call in calls)
    text = f"{METER}{_RUNNER}{metered(ast.parse(source))}\n{lines}_said = chr(10).join(_said)"
    first, second = (_run(text, len(calls), seed) for seed in _SEEDS)
    return tuple(
        a if isinstance(a, Failure) or (not isinstance(b, Failure) and is_same(a, b)) else Failure("two values")
        for a, b in zip(first, second, strict=True)
    )


def _run(text: str, count: int, seed: int) -> list[Value | Failure]:
    said = execute_program(text, "_said", seed)
    if isinstance(said, SandboxFailure):
        return [Failure(said.reason)] * count
    lines = said.split("\n")
    return [_read(line) for line in lines] if len(lines) == count else [Failure("no values")] * count


def _read(line: str) -> Value | Failure:
    """What the guest says of one call: a literal, or ! and a reason."""
    if line.startswith("!"):
        return Failure(line[1:81])
    value = read_value(line)
    return Failure("no plain value") if value is NOTHING else value
