"""The only place that runs text a model wrote: an expression in, an integer out, or a program in, a text out, by
pydantic-monty.

Monty is an interpreter of its own in a worker process: the guest has no host memory, files, network or clock to reach,
and every run has limits of time, memory and recursion. What comes out of a guest is a short text, or the integers of a
list that the host made itself: no list of the guest's, whose size the host would only learn by walking through it.
Reading the text and comparing it with an answer is the host's work, so that nothing the guest does can forge a verdict.
Left out: a second tier with full Python.

A worker may die by the guest's fault or by the machine's. Whenever one is gone, a source whose value is known runs in a
fresh worker. If that fails too, the sandbox is broken: no verdict is given, and the run stops.

The pool starts at the first evaluation. Its event loop does not survive a fork (in the child it hangs, and the parent
may crash), so a process that was forked after an evaluation is refused. Forking before the first one is fine.
"""

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from pydantic_monty import (
    Monty,
    MontyCrashedError,
    MontyDisconnectError,
    MontyError,
    MontyRuntimeError,
    OSPolicy,
    ResourceLimits,
)

from curriculum.error_lines import described
from store.errors import SelfplayError

MAX_SOURCE_CHARS = 500
MAX_RESULT_BITS = 256
_BATCH_SIZE = 256
_LIMITS: ResourceLimits = {
    "max_feed_duration_secs": 1.0,
    "max_turn_duration_secs": 1.0,
    "max_memory": 16 * 2**20,
    "max_recursion_depth": 100,
    "max_suspensions": 1,
    "max_total_sleep_secs": 0.0,
}
_OS_POLICY: OSPolicy = {"sleep": "zero", "random_start": {"seed": 0}, "process_time": "zero"}
# Programs as problems (curriculum/domains/python) count their own steps, so these times are only a last resort: the
# second is for a machine that was busy in the first.
PROGRAM_SECONDS = (0.1, 0.5)
PROGRAM_MEMORY = 512 * 2**10
PROGRAM_DEPTH = 60
_CANARY, _CANARY_VALUE = "1200 + 34", 1234
_PAUSES = (0.0, 0.2, 2.0)  # seconds before each try to find a worker that works: a busy machine gets some time
_GONE = (MontyCrashedError, MontyDisconnectError, RuntimeError, OSError)  # RuntimeError: no worker could be started
_SHOWN = 99  # characters of a value: one digit beyond MAX_RESULT_BITS is enough to see that it is too large
_INTEGER = re.compile(r"int (-?[0-9]+)")
# Without commas, brackets, names or line ends, so that joining such sources in one list cannot change any of them.
_BATCHABLE = re.compile(r"[0-9][0-9 +\-*]*")

_pool: Monty | None = None
_pool_pid: int | None = None


@dataclass(frozen=True, slots=True)
class SandboxFailure:
    """Why a source has no integer value, in one line."""

    reason: str


class SandboxForkError(RuntimeError):
    """The sandbox was used in a process before that process was forked."""


class SandboxBrokenError(SelfplayError, RuntimeError):
    """The sandbox does not run what it must: the machine's fault, and no verdict on any source. One line."""


class _NoValueError(Exception):
    """A SandboxFailure as an exception, which the cache does not keep: a source that failed may be tried again."""

    def __init__(self, reason: str, may_be_the_hosts: bool = False) -> None:
        super().__init__(reason)
        self.may_be_the_hosts = may_be_the_hosts


def evaluate_expression(source: str) -> int | SandboxFailure:
    """The integer value of `source`; anything else (an error, a limit, a bool, a float) is a SandboxFailure.

    Values are cached by source. Raises SandboxForkError and SandboxBrokenError (see above); never on account of the
    source.
    """
    if len(source) > MAX_SOURCE_CHARS:
        return SandboxFailure(f"source has {len(source)} characters, the limit is {MAX_SOURCE_CHARS}")
    try:
        return _cached_value(source)
    except _NoValueError as failure:
        return SandboxFailure(str(failure))


def evaluate_expressions(sources: Sequence[str]) -> list[int | SandboxFailure]:
    """As `evaluate_expression` for each, in order; plain arithmetic goes to the worker many at a time, uncached."""
    values: list[int | SandboxFailure] = []
    for start in range(0, len(sources), _BATCH_SIZE):
        values += _batch(sources[start : start + _BATCH_SIZE])
    return values


def execute_program(
    source: str, name: str, seed: int = 0, seconds: Sequence[float] | None = None, memory: int | None = None
) -> str | SandboxFailure:
    """The text of what `source` has given `name`, as Python prints it; an error or a limit is a SandboxFailure.

    `seed` is that of the guest's random numbers and clock: a program that gives two values under two seeds has none.
    `seconds`: how long each try may take; another follows only where the machine may have been busy. `memory` in bytes.
    By default PROGRAM_SECONDS and PROGRAM_MEMORY. Raises as `evaluate_expression` does.
    """
    moment = datetime(2000 + seed % 1000, 1, 1, tzinfo=UTC)
    policy: OSPolicy = {**_OS_POLICY, "random_start": {"seed": seed}, "datetime": moment}
    failure: _NoValueError | None = None
    for limit in PROGRAM_SECONDS if seconds is None else seconds:
        limits: ResourceLimits = {
            **_LIMITS,
            "max_feed_duration_secs": limit,
            "max_turn_duration_secs": limit,
            "max_memory": PROGRAM_MEMORY if memory is None else memory,
            "max_recursion_depth": PROGRAM_DEPTH,
        }
        try:
            return _text(_tried(f"{source}\nf'{{{name}}}'", limits, policy))
        except _NoValueError as error:
            failure = error
            if not error.may_be_the_hosts:
                break
    return SandboxFailure(str(failure))


def _batch(sources: Sequence[str]) -> list[int | SandboxFailure]:
    if all(len(source) <= MAX_SOURCE_CHARS and _BATCHABLE.fullmatch(source) for source in sources):
        try:
            results = _run("[" + ", ".join(sources) + "]")
            if isinstance(results, list) and len(results) == len(sources):
                return [_checked(result) for result in results]
        except _NoValueError:
            pass  # one bad source fails its batch: find out which, one by one
    return [evaluate_expression(source) for source in sources]


@lru_cache(maxsize=65536)
def _cached_value(source: str) -> int:
    # Whatever `source` does, the last line is the host's, and the only one whose value comes out.
    said = _text(_run(f"_value = (\n{source}\n)\nf'{{type(_value).__name__}} {{_value!r:.{_SHOWN}}}'"))
    found = _INTEGER.fullmatch(said)
    if found is None:
        raise _NoValueError(f"the result is a {said.partition(' ')[0][:40]}, not an int")
    return _checked(int(found[1]))


def _text(result: object) -> str:
    if type(result) is not str:
        raise _NoValueError(f"the result is a {type(result).__name__}, not a text")
    return result


def _checked(result: object) -> int:
    if type(result) is not int:  # a bool is an int to isinstance
        raise _NoValueError(f"the result is a {type(result).__name__}, not an int")
    if result.bit_length() > MAX_RESULT_BITS:
        raise _NoValueError(f"the result has more than {MAX_RESULT_BITS} bits")
    return result


def _run(source: str) -> object:
    """A second try where the machine may be at fault: a worker was killed from outside, or nothing ran for a second."""
    try:
        return _tried(source)
    except _NoValueError as failure:
        if not failure.may_be_the_hosts:
            raise
    return _tried(source)


def _tried(source: str, limits: ResourceLimits = _LIMITS, policy: OSPolicy = _OS_POLICY) -> object:
    try:
        return _feed(_started_pool(), source, limits, policy)
    except SandboxForkError:
        raise
    except _GONE as error:
        _check_sandbox()
        raise _NoValueError(described(error), may_be_the_hosts=True) from None
    except MontyError as error:
        is_late = isinstance(error, MontyRuntimeError) and "time limit" in str(error)
        raise _NoValueError(described(error), may_be_the_hosts=is_late) from None
    except (ValueError, OverflowError) as error:  # a value that the host cannot hold, such as an int of 5,000 digits
        raise _NoValueError(described(error)) from None


def _check_sandbox() -> None:
    """Raise SandboxBrokenError if a fresh worker cannot do what any worker must."""
    reason = ""
    for pause in _PAUSES:
        time.sleep(pause)
        _drop_pool()
        try:
            value = _feed(_started_pool(), _CANARY)
        except (*_GONE, MontyError) as error:
            reason = described(error)
            continue
        if value == _CANARY_VALUE:
            return
        reason = f"{_CANARY} gave {value!r}"[:200]
    raise SandboxBrokenError(
        f"the sandbox that executes what the model writes does not work ({reason}): nothing was judged by it. "
        "Reinstall pydantic-monty-runtime (uv sync), see that processes and memory are left, and go on with --resume"
    )


def _feed(pool: Monty, source: str, limits: ResourceLimits = _LIMITS, policy: OSPolicy = _OS_POLICY) -> object:
    with pool.checkout(limits=limits, os_policy=policy) as session:
        result: object = session.feed_run(source, print_callback=_discard)
        return result


def _discard(stream: str, text: str) -> None:
    """Drops what a guest prints."""


def _started_pool() -> Monty:
    global _pool, _pool_pid
    if _pool is None:
        pool = Monty(min_processes=1, max_processes=1, request_timeout=5.0, checkout_timeout=30.0)
        pool.__enter__()
        _pool, _pool_pid = pool, os.getpid()
    elif _pool_pid != os.getpid():
        raise SandboxForkError(
            f"process {_pool_pid} used the sandbox before it forked this one: fork before the first evaluation"
        )
    return _pool


def _drop_pool() -> None:
    global _pool, _pool_pid
    pool, _pool, _pool_pid = _pool, None, None
    if pool is not None:
        with suppress(MontyError, *_GONE):
            pool.__exit__(None, None, None)
