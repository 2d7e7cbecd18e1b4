"""The runs that a page shows: found in one folder, named by their own folders, opened for one short look at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from selfplay.machine.run_folder import DATABASE, is_owned, last_worked
from selfplay.view.charts.source import Source
from selfplay.view.queries import NotFound
from store.errors import Locked
from store.overview.store import OverviewStore


class RunState(StrEnum):
    """What becomes of a run now. A run that failed reads as stopped: its store does not say why its process ended."""

    LIVE = "live"
    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Library:
    """The runs in `folder`. A name out of a URL is only compared with names that are there, never made into a path."""

    folder: Path

    def names(self) -> list[str]:
        """The names of all runs, in order."""
        return sorted(database.parent.name for database in self.folder.glob(f"*/{DATABASE}"))

    def run_folder(self, name: str) -> Path:
        """The folder of a run. NotFound if there is none of this name."""
        names = self.names()
        if name not in names:
            listed = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
            raise NotFound(f"there is no run {name!r} in {self.folder}; there are: {listed or 'none'}")
        return self.folder / name

    @contextmanager
    def source(self, name: str) -> Iterator[Source]:
        """A run, open to look at. StoreError if its store cannot be read."""
        path = self.run_folder(name) / DATABASE
        with _opened(path) as store:
            yield Source(store)

    def state(self, name: str, head_step: int, steps: int | None) -> RunState:
        """Whether a process works on the run, and if none does, whether it has come to its end."""
        if is_owned(self.folder / name):
            return RunState.LIVE
        return RunState.FINISHED if steps is not None and head_step >= steps else RunState.STOPPED

    def stamp(self, name: str) -> tuple[int, int]:
        """What changes whenever the run stores something."""
        folder = self.folder / name
        log = folder / f"{DATABASE}-wal"
        return last_worked(folder), (folder / DATABASE).stat().st_size + (log.stat().st_size if log.exists() else 0)

    def size_bytes(self, name: str) -> int:
        """Of all files in the run's folder. A file that goes meanwhile counts as nothing."""
        total = 0
        for path in (self.folder / name).rglob("*"):
            try:
                total += path.lstat().st_size
            except OSError:
                continue
        return total


@contextmanager
def _opened(path: Path) -> Iterator[OverviewStore]:
    """A second look where a process began to work on the run just when it was opened: its log was not there yet."""
    try:
        store = OverviewStore.open_readonly(path, busy_seconds=2.0)
    except Locked:
        store = OverviewStore.open_readonly(path, busy_seconds=2.0)
    with store:
        yield store
