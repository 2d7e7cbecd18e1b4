"""A dry run leaves nothing behind, however it ends, `kill -9` excepted."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from selfplay.machine.errors import INTERRUPTED, TERMINATED
from selfplay.machine.outlet import complain

_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
PREFIX = ".selfplay-dry-run-"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block at once, with SystemExit, so that what is open is closed and removed.

    Outside the main thread of a process, which alone may have handlers, they do what they did before.
    """

    def stop(number: int, _: Any) -> None:
        complain("stopped: a dry run leaves nothing behind")
        raise SystemExit(_CODES[signal.Signals(number)])

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _CODES:
                stack.callback(signal.signal, number, signal.signal(number, stop))
        yield


@contextmanager
def temporary_folder(near: Path) -> Iterator[Path]:
    """A new folder in `near`, or in the nearest folder above it that is there; removed at the end of the block."""
    above = next(path for path in (near, *near.absolute().parents) if path.is_dir())
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
    try:
        yield folder
    finally:
        with _undisturbed():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C in the block is not heard: half a folder would be left."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _CODES:
                stack.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        yield
