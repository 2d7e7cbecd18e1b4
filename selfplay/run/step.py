"""What one step gathers on its way to the commit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from roles.challenger import ProposedGroup
from roles.judging.by_model import CanaryCount
from roles.search.growth import Searched
from roles.tree import Tree
from selfplay.learn.lessons import SolverLesson
from selfplay.learn.stages import Stage
from selfplay.play.posing import Posed
from store.records import Wave


@dataclass(slots=True)
class Step:
    """What one step gathers on its way to the commit."""

    number: int
    tree: Tree
    stored: dict[str, Wave]  # waves that a killed process had committed
    started: float
    computed: int  # the engines' token counts when it began
    flat: int
    proposed: list[ProposedGroup] = field(default_factory=list)
    posed: Posed | None = None
    lessons: list[SolverLesson] = field(default_factory=list)
    canaries: CanaryCount | None = None  # how often the model judge was fooled, where it was tried
    searched: dict[str, Searched] = field(default_factory=dict)  # by problem
    rewards: dict[tuple[int, int], float | None] = field(default_factory=dict)
    stage: Stage = 2
    seconds: dict[str, float] = field(default_factory=dict)  # stage -> wall time

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the block's wall time to `stage`."""
        before = time.monotonic()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - before
