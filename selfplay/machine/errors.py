"""Exit codes, and the failures that a user can cause or meet: each is one line, and has the code it ends with."""

from store.errors import SelfplayError

OK = 0
USAGE = 2  # configuration or arguments
DATA = 65  # the run's data is damaged, of another version of the code, or replay disagrees with it
NO_MODEL = 66  # the model cannot be loaded
NO_SANDBOX = 69  # what executes proposals does not work
SOFTWARE = 70  # NaN or infinite logits, loss or gradient
NO_SYSTEM = 71  # memory, open files or threads ran out, or the clock is wrong
NO_ENGINE = 72  # the sampler's process cannot be started, or was lost again and again
DISK = 74  # no room on the disk
BUSY = 75  # another process works on the run, or holds its database
OUT_OF_SYNC = 76  # the sampler has other weights than the trainer
INTERRUPTED = 130  # Ctrl-C
TERMINATED = 143  # SIGTERM


class Failure(SelfplayError):
    """The message is one line that says what is wrong and what to do; `code` is the process's exit code."""

    code = USAGE


class Refused(Failure):
    """What was asked for cannot start or go on."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ConfigError(Failure, ValueError):
    """A configuration names a key that is none, or a value that its key does not take."""


class ModelError(Failure):
    """The model cannot be loaded or run."""

    code = NO_MODEL


class EngineError(Failure):
    """A sampler in a process of its own cannot be started, does not take the model, or was lost again and again."""

    code = NO_ENGINE


class SyncError(Failure):
    """A sampler in a process of its own has other weights than the trainer: the message has both figures."""

    code = OUT_OF_SYNC


class CheckpointError(Failure):
    """A checkpoint does not verify: the message names the file and what is wrong with it."""

    code = DATA


class NonFiniteError(Failure, ArithmeticError):
    """Logits, loss or gradient were NaN or infinite. Raised before anything of it is kept."""

    code = SOFTWARE
