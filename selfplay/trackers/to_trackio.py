"""trackio: a run in its local database, `trackio show --project selfplay`. No network is needed.

It writes in batches, of which a kill loses the last, and has no way to ask what is there. So each start sends the whole
history as a new run, in place of the one that it sent before. A Space or a server could not be cleared like that:
`trackio sync` sends a project there afterwards.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import trackio

from selfplay.trackers.lines import Line
from selfplay.trackers.sink import RunFacts

_HISTORY = "selfplay.history"
_REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Trackio:
    """A `Sink`."""

    def open(self, run: RunFacts) -> int:
        if named := [name for name in _REMOTE if os.environ.get(name)]:
            raise ValueError(f"unset {named[0]}: it is sent to the local database, and from there by `trackio sync`")
        try:
            before = list(trackio.Api().runs(run.project))
        except ValueError:  # there is no such project yet
            before = []
        for old in before:
            if (old.config or {}).get(_HISTORY) == run.history_id:
                old.delete()
        self._run = trackio.init(
            project=run.project,
            name=run.name,
            config={**run.config, _HISTORY: run.history_id},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return 0

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        for _, line in lines:
            self._run.log(dict(line.figures), step=line.step)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """trackio has no place for a summary: before and after are among the figures."""
        self._run.finish()
