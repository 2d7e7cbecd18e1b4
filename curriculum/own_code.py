"""A user's own code, which a run calls: how it is found, what it takes, what it may do wrong, and how long it may take.

A dotted path imports code: it comes from the command line or the user's file, never from a model or a database
(selfplay/config/resuming.py asks for it again on resume).
"""

import importlib
import inspect
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from curriculum.error_lines import described
from curriculum.sandbox import SandboxBrokenError, SandboxForkError

T = TypeVar("T")

_AGAIN = 1.0  # seconds until a call that went on after its time is interrupted once more
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_NOT_ITS_FAULT = (SandboxBrokenError, SandboxForkError, MemoryError)  # the machine's


class _Late(BaseException):
    """Raised in the middle of a call. No Exception, so that `except Exception` in it does not keep it."""


def is_dotted_path(name: str) -> bool:
    """Whether `name` has the form of a path to code, such as my_package.my_module:MyDomain."""
    return _DOTTED_PATH.fullmatch(name) is not None


def imported(path: str) -> Callable[..., Any]:
    """What a dotted path names. LookupError, half a line, where it cannot be imported or called."""
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise LookupError(f"cannot import {module_name} ({error}): is it on PYTHONPATH?") from None
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        raise LookupError(f"{module_name} fails when it is imported ({described(error)})") from None
    if not hasattr(module, attribute):
        raise LookupError(f"{module_name} has no class {attribute}, and no function")
    found = getattr(module, attribute)
    if not callable(found):
        raise LookupError(f"{attribute} of {module_name} is {type(found).__name__}, and must be a class or a function")
    return found  # type: ignore[no-any-return]


def wrong_option(maker: Callable[..., Any], given: Mapping[str, object], num_passed: int = 0) -> tuple[str, str] | None:
    """(option, what is wrong with it) of the first keyword that `maker` does not take, or needs and is not given.

    `num_passed`: how many arguments it is given by place.
    """
    try:
        taken = inspect.signature(maker).parameters
    except (TypeError, ValueError):  # not every callable tells
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    by_name = {key: each for key, each in list(taken.items())[num_passed:] if each.kind in kinds}
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        for key in given:
            if key not in by_name:
                return key, f"has no such option; its options: {', '.join(by_name) or 'none'}"
    missing = (key for key, each in by_name.items() if each.default is each.empty and key not in given)
    return next(((key, "cannot be made without it") for key in missing), None)


def result_of(call: Callable[[], T], passing: tuple[type[Exception], ...] = ()) -> tuple[T | None, str]:
    """(what `call` returned, ""), or (None, one line of what it raised). What is the machine's fault is raised, and
    what is one of `passing`."""
    try:
        return call(), ""
    except (Exception, SystemExit, GeneratorExit) as error:  # whatever the user's code, or what it calls, thought of
        if isinstance(error, (*_NOT_ITS_FAULT, *passing)):
            raise
        return None, described(error)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns. TimeoutError where it takes longer than `seconds` > 0 of wall time.

    An alarm (SIGALRM) ends it, wherever it is in Python or waits for the system; if it catches that and goes on, again
    each second. Not ended is what does not come back to Python, such as a long computation in an extension module, nor
    a call that sets the alarm itself. Signals are the main thread's: in another thread there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    is_running, is_late = True, False

    def end(*_: Any) -> None:
        nonlocal is_late
        is_late = True
        if is_running:
            raise _Late

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        try:
            result = call()
        finally:
            is_running = False
    except _Late:
        pass  # told below, as of a call that caught it and returned
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, such as a test's
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)
    if is_late:
        raise TimeoutError(f"it took longer than {seconds:g} s")
    return result
