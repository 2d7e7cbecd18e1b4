"""The one way out: whatever this process prints passes here, on its way to standard output or standard error.

Text comes from models, databases and folders that nobody vouches for, so characters that a terminal would obey are
spelled out. And nobody has to read: a terminal that is gone, a closed pipe, a full disk or an encoding without the
character never ends the work. The run goes on in silence; its store has all that it would have printed.
Left out: what a library's native code writes to the file descriptors itself.
"""

import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TextIO

_LAYOUT = "\n\t"
_ODD = re.compile(r"[^ -~]")  # most text has none, and may be megabytes of JSON
_ASCII = str.maketrans({"→": "->", "…": "~"})  # ours, where the encoding lacks them


class Outlet(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr. `failure` is why nothing more reaches the reader, None while it does."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self._stream = stream  # None: the process was started with the descriptor closed

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self.failure is None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Text of anybody's: only line ends, tabs and a leading carriage return (progress bars) keep their effect."""
        back = "\r" if text.startswith("\r") else ""
        self.draw(back + spelled(text[len(back) :], _LAYOUT))
        return len(text)

    def draw(self, text: str) -> None:
        """Text with control sequences of our own in it, by selfplay/view/terminal.py."""
        if self._stream is None or self.failure is not None:
            return
        encoding = self.encoding
        shown = text if encoding.lower().startswith("utf") else text.translate(_ASCII)
        try:
            self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:
            self._lose(error)
        except RuntimeError:  # a signal's handler speaks in the middle of a write: that one goes first
            pass

    def flush(self) -> None:
        if self._stream is None or self.failure is not None:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)
        except RuntimeError:
            pass

    def _lose(self, error: OSError | ValueError) -> None:
        """From now on nothing is written. What the stream still buffers is sent to /dev/null: flushed at the end of the
        process, it would fail again and change the exit code."""
        self.failure = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())


def spelled(text: str, kept: str = "") -> str:
    """Control characters, escape sequences, bidirectional overrides and the like as their Python escapes."""

    def shown(found: re.Match[str]) -> str:
        c = found[0]
        return c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii")

    return _ODD.sub(shown, text)


@contextmanager
def gate() -> Iterator[Outlet]:
    """Within, all that is printed goes through here, whoever prints it. Yields what stands for standard output."""
    before = sys.stdout, sys.stderr
    out, err = (each if isinstance(each, Outlet) else Outlet(each) for each in before)
    sys.stdout, sys.stderr, sys.excepthook = out, err, _traceback_to(err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def tell(text: str) -> None:
    """`text` as it stands, line ends included, on standard output."""
    _current(sys.stdout).write(text)


def complain(line: str) -> None:
    """One line on standard error."""
    err = _current(sys.stderr)
    err.write(spelled(line) + "\n")
    err.flush()


def _current(stream: Any) -> Outlet:
    return stream if isinstance(stream, Outlet) else Outlet(stream)


def _traceback_to(err: Outlet) -> Any:
    """What the interpreter calls for an error that nobody expected: its text may be a model's too."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        err.write("".join(traceback.format_exception(kind, error, trace)))
        err.flush()

    return hook


class Drawing(io.TextIOBase):
    """Standard output for rich, whatever it is at the moment: rich's own control sequences keep their effect."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return _current(sys.stdout).encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return _current(sys.stdout).isatty()

    def fileno(self) -> int:
        return _current(sys.stdout).fileno()

    def write(self, text: str) -> int:
        _current(sys.stdout).draw(text)
        return len(text)

    def flush(self) -> None:
        _current(sys.stdout).flush()
