"""The process's memory: how it is handed out, how much was used at most, and how much more there is."""

import ctypes
import resource
import sys
from contextlib import suppress
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
    return max(0, resident_bytes() - told.uordblks - told.hblkhd)


def resident_bytes() -> int:
    """What this process holds of the machine's memory just now; Linux alone tells."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """The most memory this process has held resident, since it began or since `restart_peak`."""
    with suppress(
        OSError, StopIteration
    ):  # of Linux; what getrusage says has the peak of who started the process in it
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        return next(int(words[1]) * 1024 for words in lines if words[0] == "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def restart_peak() -> None:
    """Lets `peak_bytes` begin anew, so that a phase shows its own. Only Linux can; elsewhere it stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak resident set size becomes the present one


def free_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path | None = None) -> int | None:
    """What this process could still take, as the machine and its control group (version 2: a container's limit) tell;
    None where neither does."""
    found = [_available(meminfo), _left_in(group or _own_group())]
    return min((each for each in found if each is not None), default=None)


def _available(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        lines = (line.split() for line in meminfo.read_text().splitlines())
        return next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), None)
    return None


def _own_group() -> Path:
    """Where the system describes the control group of this process."""
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        name = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
        return Path("/sys/fs/cgroup") / name.lstrip("/")
    return Path("/sys/fs/cgroup")


def _left_in(group: Path) -> int | None:
    """None without a limit. Pages of files that can be dropped do not count as taken."""
    with suppress(OSError, ValueError):
        limit, taken = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        facts = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        droppable = next((int(words[1]) for words in facts if words[0] == "inactive_file"), 0)
        return max(0, limit - taken + droppable)
    return None


def device_peak_bytes(device: "torch.device") -> int | None:
    """The most bytes that tensors have held on a GPU since the process began; None for a CPU."""
    if device.type != "cuda":
        return None
    from torch.cuda import max_memory_allocated  # the rest of this module does without torch

    return int(max_memory_allocated(device))


def free_device_bytes(device: "torch.device") -> int | None:
    """What is free on a GPU just now; None for a CPU."""
    if device.type != "cuda":
        return None
    from torch.cuda import mem_get_info

    return int(mem_get_info(device)[0])
