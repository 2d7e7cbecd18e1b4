"""The process's memory: how it is handed out, and how much was used at most."""

import ctypes
import resource
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed_memory() -> None:
    """Let the C library keep large freed blocks instead of giving each back to the system (glibc; elsewhere nothing).

    Every chunk of logits is tens of megabytes. Mapping fresh pages for each costs more than filling them: an update
    of the default job takes about a fifth longer without this.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most it takes; chunks of logits are smaller, weights are larger
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        mallopt(_M_TOP_PAD, 64 << 20)


def release_freed_memory() -> None:
    """Give back what `keep_freed_memory` keeps: between stages whose blocks differ in size, or they add up."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def peak_bytes() -> int:
    """The most memory this process has held resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
