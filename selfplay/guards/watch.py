"""The guards at work: what a run holds of its newest steps and of the alarms that are open."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from curriculum.answers.formats import Formats
from selfplay.guards.figures import Look, look
from selfplay.guards.rules import WATCHED_STEPS, Guard, Open, after, watched
from selfplay.play.step import Played
from store.records import Alarm


@dataclass(slots=True)
class Watch:
    """`read`: what is read of a completion's text. It takes up where a stored run stands by `begin`."""

    guards: Sequence[Guard]
    formats: Formats
    read: Callable[[str], str]
    opened: dict[str, Open] = field(default_factory=dict)
    _recent: deque[Mapping[str, float]] = field(default_factory=lambda: deque(maxlen=WATCHED_STEPS))

    def begin(self, recent: Iterable[Mapping[str, float]], alarms: Iterable[tuple[int, Alarm]]) -> None:
        """`recent`: figures of the newest stored steps, oldest first; `alarms`: all stored ones with their steps."""
        self._recent.clear()
        self._recent.extend(recent)
        self.opened = {}
        for step, alarm in alarms:
            self.opened = after(self.opened, step, [alarm])

    def hear(self, step: int, alarms: Sequence[Alarm]) -> None:
        """What others raise and end at a step."""
        self.opened = after(self.opened, step, alarms)

    def look(self, played: Played) -> Look:
        """What there is to see of a step, before it is stored."""
        return look(played, self.formats, self.read)

    def see(self, step: int, figures: Mapping[str, float], details: Mapping[str, str]) -> tuple[Alarm, ...]:
        """What the step raises and what is over with it, by all of its figures."""
        self._recent.append(figures)
        alarms = watched(self.guards, list(self._recent), self.opened, details)
        self.opened = after(self.opened, step, alarms)
        return alarms
