"""When this process began. Free of torch: it is asked before anything heavy is imported."""

import os
import sys
import time
from pathlib import Path

_START_TIME = 19  # field 22 of /proc/self/stat, counted from behind the name, which may hold spaces


def process_started() -> float:
    """When this process began, on the clock of time.monotonic(); now, where the system does not tell (only Linux does).

    So the seconds of a run hold the interpreter's start and every import, which no stamp of our own could see.
    """
    now = time.monotonic()
    if sys.platform != "linux":
        return now
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_START_TIME])
    except (OSError, ValueError, IndexError):
        return now
    return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
