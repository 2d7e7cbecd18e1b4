"""Sends what a run's store gains to experiment trackers, each in a thread of its own.

Nothing is handed over but the news that something was stored: a thread reads the lines that its tracker lacks from the
store. So a tracker that is slow, or was away, delays no step, keeps nothing in memory, and catches up; a resumed run
and a live one send by the same way. Whatever a tracker raises is one line, and it is left out from then on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curriculum.error_lines import described
from selfplay.machine.run_folder import Say
from selfplay.trackers.lines import Line, Position, read_on
from selfplay.trackers.sink import RunFacts, Sink
from store.store import Store

STEPS_AT_ONCE = 200  # read and sent: what a thread keeps in memory
PATIENCE = 60.0  # seconds that the end of a run waits for all trackers together
_SAID_AFTER = 2.0  # seconds of waiting that are not worth a line


class Reporting:
    """The trackers of an open run. All of it is called from the run's own thread, which also says what went wrong."""

    def __init__(self, database: Path, facts: RunFacts, openers: Mapping[str, Callable[[], Sink]], say: Say) -> None:
        """`openers`: by the tracker's name; called in its thread, for to import some of them takes seconds."""
        self._say = say
        self._threads = [_Thread(name, database, facts, opener) for name, opener in openers.items()]
        self._is_over = False
        for thread in self._threads:
            thread.start()

    def stored(self) -> None:
        """Something was committed. Returns at once."""
        for thread in self._threads:
            thread.woken.set()
        self._say_failures()

    def finish(self, summary: Mapping[str, Any] | None = None, patience: float = PATIENCE) -> None:
        """Waits until the trackers have everything, or for `patience` seconds. A second call does nothing."""
        if self._is_over:
            return
        self._is_over = True
        for thread in self._threads:
            thread.summary = summary
            thread.ending.set()
            thread.woken.set()
        self._wait(patience)
        self._say_failures()
        late = [thread for thread in self._threads if thread.is_alive()]
        for thread in late:
            self._say(f"{thread.name} has not taken everything within {patience:.0f} s: it lacks {thread.lacking()}")
        left_out = {thread.name for thread in self._threads if thread.was_told} | {thread.name for thread in late}
        if left_out:
            self._say(
                f"{len(left_out)} of {len(self._threads)} trackers lack figures; the store and metrics.jsonl have all "
                "of them, and --resume sends what is lacking"
            )

    def _wait(self, patience: float) -> None:
        began = time.monotonic()
        for limit in (min(_SAID_AFTER, patience), patience):
            for thread in self._threads:
                thread.join(max(0.0, began + limit - time.monotonic()))
            waited_for = [thread.name for thread in self._threads if thread.is_alive()]
            if waited_for and limit < patience:
                self._say(f"waiting for {', '.join(waited_for)} to take the last figures ...")

    def _say_failures(self) -> None:
        for thread in self._threads:
            if thread.failure and not thread.was_told:
                thread.was_told = True
                self._say(f"{thread.name} is left out from now on ({thread.failure}): it lacks {thread.lacking()}")


class _Thread(threading.Thread):
    """One tracker's. A daemon: one that hangs does not keep the process."""

    def __init__(self, name: str, database: Path, facts: RunFacts, opener: Callable[[], Sink]) -> None:
        super().__init__(name=name, daemon=True)
        self.woken, self.ending = threading.Event(), threading.Event()
        self.summary: Mapping[str, Any] | None = None
        self.failure = ""
        self.was_told = False
        self._database, self._facts, self._opener = database, facts, opener
        self._position = Position()
        self._num_sent = 0
        self._last_sent: int | None = None  # the step of the newest line that was taken

    def lacking(self) -> str:
        """Which steps' figures did not reach the tracker, in words."""
        return "the whole run" if self._last_sent is None else f"what was measured after step {self._last_sent}"

    def run(self) -> None:
        try:
            sink = self._opener()
            num_there = sink.open(self._facts)
            while True:
                is_last = self.ending.is_set()  # asked before reading: what was stored by then is sent
                self._send_new(sink, num_there)
                if is_last:
                    break
                self.woken.wait()
                self.woken.clear()
            sink.close(self.summary)
        except (Exception, SystemExit) as error:  # other people's code, which must not end the run
            self.failure = described(error)

    def _send_new(self, sink: Sink, num_there: int) -> None:
        """What the store has and the tracker has not."""
        while found := self._read():
            numbered = list(enumerate(found, self._num_sent))
            if new := numbered[max(0, num_there - self._num_sent) :]:
                sink.send(new)
            self._num_sent += len(found)
            self._last_sent = found[-1].step

    def _read(self) -> list[Line]:
        with Store.open_readonly(self._database) as store:
            found, self._position = read_on(store, self._position, STEPS_AT_ONCE)
        return found
