"""A process with two of the lab's workers, one asleep and one at work; neither ends by itself. Each prints its id."""

import os
import time

from selfplay.lab.workers import worker_pool


def asleep() -> None:
    print(os.getpid(), flush=True)
    time.sleep(600)


def at_work() -> None:
    print(os.getpid(), flush=True)
    end = time.monotonic() + 600
    while time.monotonic() < end:
        sum(range(10_000))


if __name__ == "__main__":
    with worker_pool(2) as pool:
        for task in (asleep, at_work):
            pool.submit(task)
