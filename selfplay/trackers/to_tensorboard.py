"""TensorBoard: event files in the run's folder, `tensorboard --logdir runs`.

Event files cannot be gone on with: a crash may have cut one. So each start writes the whole history into a new file, in
place of those that it wrote before. The new one begins with the note that all steps from 0 on start anew, at which a
TensorBoard that is open forgets what it has read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from selfplay.trackers.lines import Line
from selfplay.trackers.sink import RunFacts
from selfplay.trackers.texts import as_markdown, flat

FOLDER = "tensorboard"
_SUFFIX = ".selfplay"  # of our own files: what somebody else put there stays
_MOST_WAITING = 100  # events between two lines that the writer keeps back at most


class TensorBoard:
    """A `Sink`."""

    def open(self, run: RunFacts) -> int:
        folder = run.folder / FOLDER
        for old in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            old.unlink()
        self._writer = SummaryWriter(str(folder), purge_step=0, max_queue=_MOST_WAITING, filename_suffix=_SUFFIX)
        self._writer.add_text("configuration", as_markdown(run.config), 0)
        self._step = 0
        return 0

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        for _, line in lines:
            time = None if line.time is None else datetime.fromisoformat(line.time).timestamp()
            for name, value in line.figures.items():
                self._writer.add_scalar(name, value, line.step, time)
            self._step = line.step
        self._writer.flush()

    def close(self, summary: Mapping[str, Any] | None) -> None:
        if summary is not None:
            self._writer.add_text("summary", as_markdown(flat(summary)), self._step)
        self._writer.close()
