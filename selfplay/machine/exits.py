"""Exit codes, and the one place where a known failure becomes one clear line."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from selfplay.machine.outlet import Outlet, complain, gate

OK = 0
USAGE = 2  # configuration or arguments
DATA = 65  # the run's data is damaged, of another version of the code, or replay disagrees with it
NO_MODEL = 66  # the model cannot be loaded
NO_SANDBOX = 69  # what executes proposals does not work
SOFTWARE = 70  # NaN or infinite logits, loss or gradient
NO_MEMORY = NO_SYSTEM = 71  # memory, open files or threads ran out, or the clock is wrong
DISK = 74  # no room on the disk
BUSY = 75  # another process works on the run, or holds its database
INTERRUPTED = 130  # Ctrl-C; 143 for SIGTERM
TERMINATED = 143

LONGEST_ERROR = 2000  # characters of a line: a name in it may be as long as a command line takes


STARVED = (
    "allocate memory", "out of memory", "bad_alloc", "failed to map segment", "too many open files",
    "start new thread",
)  # fmt: skip


class Refused(Exception):
    """The run cannot start or go on: a line for the user, and the process's exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ModelError(Exception):
    """No model: the message is one line that says what to do."""


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
            complain(f"error: {_one_line(str(error)) or type(error).__name__}")
            sys.exit(code)


def _check_answered(out: Outlet) -> None:
    out.flush()
    if out.failure is not None and out.failure.errno != errno.EPIPE:
        complain(f"error: standard output cannot be written ({out.failure.strerror})")
        sys.exit(DISK)


def _one_line(message: str) -> str:
    """What stands at the end of a long one is what to do, so it is cut in the middle."""
    line = " ".join(message.split())
    if len(line) <= LONGEST_ERROR:
        return line
    half = LONGEST_ERROR // 2
    return f"{line[:half]} ... ({len(line) - 2 * half} characters) ... {line[-half:]}"


def _code_of(error: Exception) -> int | None:
    if _is_starved(error):  # first: with no file left to open, none of these can be imported
        return NO_SYSTEM
    # imported here, so that a typo in the configuration is answered before torch is loaded
    from curriculum.domains.seed_files import DomainError
    from curriculum.sandbox import SandboxBrokenError
    from selfplay.config.files import ConfigError
    from store.errors import ClockError, DiskFull, Locked, StoreError, is_disk_error

    if isinstance(error, Refused):
        return error.code
    if isinstance(error, ModelError):
        return NO_MODEL
    if isinstance(error, ConfigError | DomainError):
        return USAGE
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and is_disk_error(error)):
        return DISK
    if isinstance(error, SandboxBrokenError):
        return NO_SANDBOX
    if isinstance(error, ClockError):
        return NO_SYSTEM
    if isinstance(error, Locked):
        return BUSY
    if isinstance(error, StoreError):
        return DATA
    if "torch" not in sys.modules:
        return None
    from selfplay.model.policy import NonFiniteError
    from selfplay.run.checkpoint import CheckpointError

    codes = {CheckpointError: DATA, NonFiniteError: SOFTWARE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), None)


def _is_starved(error: BaseException | None) -> bool:
    """Whether the system gave out no more memory, files or threads, in whoever's words; causes are looked at too."""
    while error is not None:
        words = str(error).lower()
        if isinstance(error, MemoryError) or any(said in words for said in STARVED):
            return True
        error = error.__cause__ or error.__context__
    return False
