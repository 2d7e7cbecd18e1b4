"""What an experiment tracker is to a run: something that takes lines of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from selfplay.trackers.lines import Line


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a tracker is told of a run. `history_id` names one history of steps: a resumed run has the same, one that
    was rewound has another, since trackers take nothing back. `config`: the keys that differ from their defaults."""

    name: str
    history_id: str  # 16 of 0-9 a-f
    folder: Path
    project: str
    config: Mapping[str, Any]


class Sink(Protocol):
    """One experiment tracker. It is opened and used in one thread, which is not the run's; whatever it raises leaves it
    out of the run."""

    def open(self, run: RunFacts) -> int:
        """Begins, or goes on with, the tracker's own run. Returns how many of the history's lines it has: those behind
        them come next."""
        ...

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        """Lines with their numbers, from 0 on, in order."""
        ...

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """`summary`: that of summary.json; None where the run was stopped."""
        ...
