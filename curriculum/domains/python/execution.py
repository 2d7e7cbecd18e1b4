"""Runs a program on arguments in the sandbox, twice, and says what comes out as plain data.

Both runs are in sessions of their own, under different seeds: a program whose values differ has none. The guest says of
each value whether it is plain data before it leaves, since a function or a range would come out as a text; the host
looks once more. The calls of one execution
share a session, with fresh arguments and a full meter each: a program has nowhere to keep anything between them.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from curriculum.domains.python.metering import MAX_STEPS, METER, metered
from curriculum.domains.python.syntax import Program
from curriculum.domains.python.values import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, Value, is_plain, is_same, spelled
from curriculum.sandbox import SandboxFailure, execute_program

_SEEDS = (0, 7)  # of the two executions

_RUNNER = f"""\
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
    _left[0] = {{steps}}
    try:
        value = f(*arguments)
    except Exception as error:
        return [type(error).__name__]
    if not _is_plain(value, 0):
        return ['no plain value']
    return ['', value]
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program has no value, in a word or a line."""

    reason: str


def outputs_of(program: Program, calls: Sequence[tuple[Value, ...]]) -> list[Value | Failure]:
    """What `f` gives for each tuple of arguments, in order. A call that fails leaves the others their values, unless
    it takes more memory or time than there is: then all fail."""
    return list(_cached(program.source, ", ".join(f"_given({_spelled(call)})" for call in calls), len(calls)))


def output_of(program: Program, call: tuple[Value, ...]) -> Value | Failure:
    """What `f` gives for these arguments."""
    return outputs_of(program, [call])[0]


@lru_cache(maxsize=16384)
def _cached(source: str, calls: str, count: int) -> tuple[Value | Failure, ...]:
    text = f"{METER}{_RUNNER.format(steps=MAX_STEPS)}{metered(ast.parse(source))}\n[{calls}]"
    first, second = (_run(text, count, seed) for seed in _SEEDS)
    return tuple(
        a if isinstance(a, Failure) or (not isinstance(b, Failure) and is_same(a, b)) else Failure("two values")
        for a, b in zip(first, second, strict=True)
    )


def _run(text: str, count: int, seed: int) -> list[Value | Failure]:
    found = execute_program(text, seed)
    if isinstance(found, SandboxFailure):
        return [Failure(found.reason)] * count
    if type(found) is not list or len(found) != count:
        return [Failure("no list of values")] * count
    return [_read(each) for each in found]


def _read(said: object) -> Value | Failure:
    match said:
        case ["", value] if is_plain(value):
            return value
        case [str(reason)] if reason:
            return Failure(reason[:80])
    return Failure("no plain value")


def _spelled(call: tuple[Value, ...]) -> str:
    return ", ".join(map(spelled, call))
