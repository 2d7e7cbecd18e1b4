"""What a run tells whoever watches it: a terminal (selfplay/view/progress.py), a page, a test."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from roles.judging.groups import JudgedGroup
from store.records import Alarm, Evaluation, StepRow


class Watcher(Protocol):
    """Hears of everything, changes nothing."""

    def note(self, line: str) -> None:
        """One line for whoever reads."""
        ...

    def running(self, head: int) -> AbstractContextManager[None]:
        """The run is at work for the length of the block. `head`: its newest step."""
        ...

    def step_begins(self, number: int) -> None: ...

    def step_done(self, row: StepRow, groups: Sequence[JudgedGroup], frontier: int) -> None:
        """A step is stored. `groups`: its judged attempts; `frontier`: the highest level that is solved."""
        ...

    def alarmed(self, alarm: Alarm) -> None:
        """A guard has raised an alarm at the step that was done last, or one is over."""
        ...

    def evaluating(self, step: int, kind: str, names: Sequence[str]) -> Iterator[str]:
        """Yields the names of the sets while each is evaluated."""
        ...

    def evaluated(self, evaluation: Evaluation) -> None: ...
