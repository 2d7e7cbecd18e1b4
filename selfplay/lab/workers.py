"""The processes that cells run in. They end when the one that started them does, whatever ended it."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread


def worker_pool(jobs: int) -> ProcessPoolExecutor:
    """A pool of fresh processes. Of its own accord one would go on with its cell when this process is killed.

    Idle ones ignore Ctrl-C: the pool takes a worker's end for a fault, and would end those that finish their step.
    """
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare)


@contextmanager
def interruptible() -> Iterator[None]:
    """In a worker: what it does meanwhile is interrupted by Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare() -> None:
    """In a worker: from now on, end at once when the process that started it is gone. Ctrl-C does nothing while idle.

    Nothing is tidied up: a cell is a run, and what a run has committed survives that (docs/durability.md).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        raise RuntimeError("no worker: multiprocessing did not start this process")

    def watch() -> None:
        parent.join()  # waits for the end of a pipe that the parent holds, not for a number that may be given anew
        os._exit(1)

    Thread(target=watch, name="end with parent", daemon=True).start()
