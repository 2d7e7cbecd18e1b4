"""The one place where a known failure becomes one clear line and an exit code."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from curriculum.domains.seed_files import DomainError
from curriculum.sandbox import SandboxBrokenError
from roles.judging.failures import NotJudgedError
from roles.judging.rewards import RewardError
from selfplay.machine.errors import BUSY, DATA, DISK, INTERRUPTED, NO_SANDBOX, NO_SYSTEM, USAGE, Failure
from selfplay.machine.outlet import Outlet, complain, gate
from store.errors import ClockError, Damaged, DiskFull, JournalLost, Locked, Outdated, StoreError, is_disk_error
from store.sql.store import QueryError

LONGEST_ERROR = 2000  # characters of a line: a name in it may be as long as a command line takes

STARVED = (
    "allocate memory", "out of memory", "bad_alloc", "failed to map segment", "too many open files",
    "start new thread",
)  # fmt: skip

_CODES = (  # of the failures that the packages below know, the particular ones first
    (DomainError, USAGE),
    (RewardError, USAGE),
    (NotJudgedError, USAGE),
    (SandboxBrokenError, NO_SANDBOX),
    (DiskFull, DISK),
    (ClockError, NO_SYSTEM),
    (Locked, BUSY),
    (QueryError, USAGE),
    (StoreError, DATA),
)


@contextmanager
def clear_errors(is_answer: bool = False) -> Iterator[None]:
    """Turn expected failures into one line on stderr and an exit code. Anything else keeps its traceback.

    `is_answer`: what is printed is what the command is for, so that output which cannot be written is a failure too. A
    reader who has seen enough (`| head`) is none.
    """
    with gate() as out:
        try:
            yield
        except KeyboardInterrupt:
            complain("stopped: nothing that was committed is lost")
            sys.exit(INTERRUPTED)
        except SystemExit as end:
            if is_answer and not end.code:
                _check_answered(out)
            raise
        except Exception as error:
            code = _code_of(error)
            if code is None:
                raise
            complain(f"error: {line_of(error)}")
            sys.exit(code)


def line_of(error: Exception) -> str:
    """What a user is told of a failure: its message and, where a command mends a failure of the store, that command."""
    message = str(error) or type(error).__name__
    match error:
        case Outdated():
            message += f": run `python -m selfplay.inspect migrate {error.folder}`"
        case Damaged():
            message += f". `python -m selfplay.inspect verify {error.folder}` names every such place"
        case JournalLost():
            message += ": resume with resume.mode=rewind, which goes back to the last checkpoint"
    return _one_line(message)


def _check_answered(out: Outlet) -> None:
    out.flush()
    if out.failure is not None and out.failure.errno != errno.EPIPE:
        complain(f"error: standard output cannot be written ({out.failure.strerror})")
        sys.exit(DISK)


def _one_line(message: str) -> str:
    """A long message is cut in the middle, since its end says what to do."""
    line = " ".join(message.split())
    if len(line) <= LONGEST_ERROR:
        return line
    half = LONGEST_ERROR // 2
    return f"{line[:half]} ... ({len(line) - 2 * half} characters) ... {line[-half:]}"


def _code_of(error: Exception) -> int | None:
    if _is_starved(error):
        return NO_SYSTEM
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, OSError) and is_disk_error(error):
        return DISK
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def _is_starved(error: BaseException | None) -> bool:
    """Whether the system gave out no more memory, files or threads, in whoever's words; causes are looked at too."""
    while error is not None:
        words = str(error).lower()
        if isinstance(error, MemoryError) or any(phrase in words for phrase in STARVED):
            return True
        error = error.__cause__ or error.__context__
    return False
