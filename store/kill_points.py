"""Named points of the commit protocol, at which tests kill the process (docs/durability.md has the protocol).

With `SELFPLAY_KILL_AT=step.inserted:3` in its environment, a process kills itself with SIGKILL when it reaches
`step.inserted` for the third time. Left out: exceptions, delays and torn writes.
"""

import os
import signal

POINTS = (
    "create.built",  # the new database is whole under its temporary name
    "create.renamed",
    "wave.begin",  # inside the transaction, nothing inserted
    "wave.inserted",  # everything inserted, not committed
    "wave.committed",
    "loop.rolled_out",
    "loop.updated",
    "journal.written",  # flushed and fsynced under its temporary name
    "journal.renamed",
    "step.begin",
    "step.inserted",
    "step.committed",
    "loop.committed",
    "probes.answered",  # by the weights of one checkpoint
    "pick.inserted",
    "pick.committed",  # the run goes back after this, where the pick says so
    "pick.rolled_back",
    "evaluation.inserted",
    "evaluation.committed",
    "checkpoint.files",
    "checkpoint.manifest",
    "checkpoint.renamed",
    "checkpoint.row_begin",
    "checkpoint.row_committed",
    "checkpoint.row_deleted",
    "checkpoint.deleted",
    "prune.inserted",  # journal names cleared, not committed
    "prune.rows",  # committed: the caller may delete the files
    "prune.files",
    "rewind.inserted",
    "rewind.committed",
    "migrate.backed_up",  # under a temporary name
    "migrate.renamed",
    "migrate.upgraded",
    "export.file",  # one file whole in a folder that has a hidden name
    "export.written",  # all of them
)

_VARIABLE = "SELFPLAY_KILL_AT"
_KNOWN = frozenset(POINTS)
_reached: dict[str, int] = {}  # how often the armed point was reached, by the text that armed it


def arm(point: str, n: int) -> None:
    """From now on, kill this process (and, through its environment, its children) the n-th time `point` is reached."""
    _parse(f"{point}:{n}")
    _reached.clear()
    os.environ[_VARIABLE] = f"{point}:{n}"


def reach(point: str) -> None:
    """Called where the process is at `point`. An unknown name raises ValueError, armed or not."""
    if point not in _KNOWN:
        raise ValueError(f"unknown kill point {point!r}")
    armed = os.environ.get(_VARIABLE)
    if armed is None:
        return
    name, n = _parse(armed)
    if name != point:
        return
    _reached[armed] = _reached.get(armed, 0) + 1
    if _reached[armed] == n:
        os.kill(os.getpid(), signal.SIGKILL)


def _parse(armed: str) -> tuple[str, int]:
    name, _, count = armed.partition(":")
    if name not in _KNOWN or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{_VARIABLE} is {armed!r}: want POINT:N with N >= 1 and POINT one of {', '.join(POINTS)}")
    return name, int(count)
