"""A run's folder: who owns it, what lies in it, and what becomes of what does not belong there.

Nothing that a run does not know is ever deleted: it is moved to `set-aside/` in the run's folder, and a line says so.
Free of torch, so that commands which only look can use it.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfplay.machine.errors import BUSY, USAGE, Refused
from selfplay.machine.files import temporary_of, write_whole
from store.errors import StoreError, is_disk_error, translated
from store.store import Store

DATABASE = "selfplay.db"
CHECKPOINT_FOLDER = "checkpoints"
JOURNAL_FOLDER = "journal"
METRICS, CONFIG, SUMMARY = "metrics.jsonl", "config.yaml", "summary.json"
LOCK = "LOCK"
ASIDE = "set-aside"

Say = Callable[[str], None]


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Whatever a file system has against a run's folder is one line; a full disk keeps an exit code of its own."""
    try:
        yield
    except OSError as error:
        if is_disk_error(error):
            raise
        reason = error.strerror or error
        raise Refused(f"run.dir: {folder} cannot be made or written ({reason}); give another folder", USAGE) from error


@dataclass(frozen=True, slots=True)
class Lock:
    """A run's folder, owned by this process."""

    _file: int  # descriptor of LOCK, whose time says when the run was worked on last

    def touch(self) -> None:
        """Note that work was done just now."""
        os.utime(self._file)


@contextmanager
def lock(folder: Path, say: Say = lambda line: None) -> Iterator[Lock]:
    """Own the run folder for the length of the block; a second owner is refused with exit code 75.

    The folder itself is locked, and LOCK in it: a file can be removed and made anew under a living process, and a lock
    on the one that was removed keeps nobody out. A network file system may know no locks on folders.
    """
    with ExitStack() as stack:
        with usable(folder):
            itself = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, itself)
            if not _locked(itself):
                raise _in_use(folder)
            claim(folder, folder / LOCK, say)
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            stack.callback(os.close, file)
            if not _locked(file):
                raise _in_use(folder)
            _sign(file)
        yield Lock(file)


def _locked(descriptor: int) -> bool:
    """False if somebody else holds it. OSError where there are no locks, but for a folder, which may have none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    return True


def _in_use(folder: Path) -> Refused:
    """Whom the folder is in use by, as far as LOCK says so."""
    owner = "another process"
    if _is_plain(folder / LOCK):
        with (folder / LOCK).open("rb") as file:
            signed = re.fullmatch(rb"(process \d+)\n", file.read(80))
        owner = signed[1].decode() if signed else owner
    return Refused(f"{folder} is in use by {owner}; wait for it, or stop it first", BUSY)


def _sign(file: int) -> None:
    """Write who owns the folder. That alone is no work on the run: a LOCK that was there keeps its time."""
    before = os.fstat(file)
    os.ftruncate(file, 0)
    os.pwrite(file, f"process {os.getpid()}\n".encode(), 0)
    if before.st_size:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def is_owned(folder: Path) -> bool:
    """Whether a process works on the run now. It only reads what the system says of locks, and never takes one, so
    that whoever looks cannot be in the way of a run that begins."""
    try:
        found = (folder / LOCK).stat()
        held = Path("/proc/locks").read_text().splitlines()
    except OSError:  # no such file, or not Linux
        return False
    locks = [line.split() for line in held if "FLOCK" in line]
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return any(device in parts for parts in locks)


def last_worked(folder: Path) -> int:
    """When a process last stored something in the run, in nanoseconds since 1970.

    LOCK's time says so. Those of the database and its log do not: whoever only looks may change them.
    """
    path = folder / LOCK if _is_plain(folder / LOCK) else folder / DATABASE
    return path.stat().st_mtime_ns


def leftovers(folder: Path) -> list[str]:
    """What lies in a folder of a run beside its database, by name. A run that never began leaves none of it."""
    if not os.path.isdir(folder):  # of a name that is none it is False, where Path.is_dir raises
        return []
    names = [DATABASE + end for end in ("-wal", "-journal")] + [METRICS, CONFIG, SUMMARY]
    found = [name for name in names if os.path.lexists(folder / name)]
    for name in (CHECKPOINT_FOLDER, JOURNAL_FOLDER):
        if (folder / name).is_dir():
            found += [f"{name}/{each}" for each in sorted(os.listdir(folder / name))]
    return found


def is_unbegun(folder: Path) -> bool:
    """Whether the run there holds nothing yet: no wave, no evaluation and no step but the start were committed."""
    try:
        with Store.open_readonly(folder / DATABASE) as store:
            rows = [*store.steps(include_abandoned=True)[1:], *store.evaluations(), *store.pending_waves(1)]
            return not rows
    except StoreError:
        return False


def set_unbegun_aside(folder: Path, say: Say) -> None:
    """Make room for a run of the same name. The database goes last: it says what the other files are."""
    for name in (METRICS, CONFIG, f"{DATABASE}-shm", f"{DATABASE}-wal", DATABASE):
        if os.path.lexists(folder / name):
            set_aside(folder, folder / name, "of a run in which nothing was said", say)


def set_aside(folder: Path, path: Path, why: str, say: Say) -> None:
    """Move what stands at `path`, below the run's folder, to the same place below `set-aside/`, and say so."""
    place = folder / ASIDE / path.relative_to(folder)
    number = 0
    while os.path.lexists(place):
        number += 1
        place = place.with_name(f"{path.name}.{number}")
    with translated(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, place)
    say(f"set aside: {path.relative_to(folder)} is now {place.relative_to(folder)} ({why})")


def claim(folder: Path, path: Path, say: Say) -> None:
    """Make `path` free for a file of the run's: a folder or a link in its place is set aside, never written through."""
    if os.path.lexists(path) and not _is_plain(path):
        set_aside(folder, path, "no file of the run's", say)


def claim_folder(folder: Path, name: str, say: Say) -> None:
    """Make sure that the run has its folder `name`, or a link to one. What else is in its place is set aside."""
    path = folder / name
    if os.path.lexists(path) and not path.is_dir():
        set_aside(folder, path, "no folder of the run's", say)
    with translated(path):
        path.mkdir(exist_ok=True)


def write_file(path: Path, lines: Iterable[str], say: Say) -> None:
    """Writes a file of the run's whole or not at all. What has its name and is no file is set aside."""
    for each in (path, temporary_of(path)):
        claim(path.parent, each, say)
    with translated(path):
        write_whole(path, lines)


def is_file(path: Path) -> bool:
    """Whether a file stands there; False too for what is no name of one, such as one that is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def require_database(folder: Path) -> None:
    """StoreError if files of a run lie in the folder without the database that they belong to."""
    if not is_file(folder / DATABASE) and (found := leftovers(folder)):
        raise StoreError(
            f"{folder} has no {DATABASE}, but {_few(found)}: put the database back to go on with that run, or give "
            "another one a name of its own (run.name=...); nothing was changed"
        )


def _few(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is_plain(path: Path) -> bool:
    """Whether a file stands there: no link, no folder, no device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
