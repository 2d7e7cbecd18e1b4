"""The process's memory: how it is handed out, and how much was used at most."""

import ctypes
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed_memory() -> None:
    """Let the C library keep large freed blocks instead of giving each back to the system (glibc; elsewhere nothing).

    Chunks of logits and activations are tens of megabytes each. Mapping fresh pages for each costs more than filling
    them: an update took about a fifth longer without this. The sizes are glibc's and the machine's, not a job's:
    blocks up to the largest threshold that glibc takes come from the heap; what is free at its end is given back beyond
    half a gigabyte, and it grows by as much as makes the calls for more memory rare.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most it takes
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        mallopt(_M_TOP_PAD, 64 << 20)


def release_freed_memory(beyond: int = 0) -> None:
    """Gives the blocks that `keep_freed_memory` keeps back to the system.

    Call it between phases whose blocks differ in size: one phase's blocks are of no use to the next, and would be kept
    beside its own. Nothing is given back while the process holds no more than `beyond` bytes that it does not use,
    because the next update takes again what the last one freed, and fresh pages cost a seventh of its time.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None and not 0 <= unused_bytes() <= beyond:
        trim(0)


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h: ten counts."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd"))
    _fields_ += tuple((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"))


def unused_bytes() -> int:
    """Resident memory that is not in use, libraries' code included; -1 where the C library tells nothing (glibc does
    from 2.33 on). Its own count of free blocks will not do, since that has pages that were given back already."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if ask is None:
        return -1
    ask.restype = _Mallinfo
    told = ask()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return max(0, resident - told.uordblks - told.hblkhd)


def peak_bytes() -> int:
    """The most memory this process has held resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes(device: "torch.device") -> int | None:
    """The most bytes that tensors have held on a GPU since the process began; None for a CPU."""
    if device.type != "cuda":
        return None
    from torch.cuda import max_memory_allocated  # the rest of this module does without torch

    return int(max_memory_allocated(device))
