"""Where one step is worked on, and the records that its phases hand to each other.

write_skills -> Skilled;  propose -> Proposed;  pose -> Posed;  solve -> Judged;  search -> Searches;
explore -> Experienced;  all of it -> Played
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from curriculum.selection.scheduler import Replay
from roles.challenger import ProposedGroup
from roles.experience import Experienced
from roles.judging.by_model import CanaryCount
from roles.judging.groups import JudgedGroup
from roles.requests import Sampled
from roles.search.growth import Searched
from roles.tree import Tree
from selfplay.engine.protocol import TokenCount
from selfplay.play.skills import Shown, Skilled
from store.records import Fate, Problem, Side, Wave

Searches = Mapping[str, Searched]  # problem_id -> what the judge's search of it found


@dataclass(frozen=True, slots=True)
class Step:
    """The step's token tree, its waves, and what it has cost so far. `number` counts from 1."""

    number: int
    policy_version: int  # that it begins with
    tree: Tree
    stored: Mapping[str, Wave]  # waves that a killed process had committed, by key
    commit_wave: Callable[[Wave], Wave]  # stores one; returns it as it was stored
    started: float  # on the clock of time.monotonic()
    count: TokenCount = field(default_factory=TokenCount)  # of sampling and scoring
    seconds: dict[str, float] = field(default_factory=dict)  # phase -> wall time
    shown: dict[Side, Shown] = field(default_factory=dict)  # the skills that prompts showed, where there are any

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the block's wall time to `phase`."""
        before = time.monotonic()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - before


@dataclass(frozen=True, slots=True)
class Proposed:
    """The challenger's proposals, a group for each parent. Empty where the domain's sampler poses."""

    groups: tuple[ProposedGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class TriagedProposal:
    """One proposal and what became of it. `index` counts within its group.

    `problem_id` is the problem that it poses: for ACCEPTED, the admitted one; for DUPLICATE, the one that was there
    before; None for every other fate.
    """

    parent: Problem
    group: int
    index: int
    sampled: Sampled
    fate: Fate
    problem_id: str | None = None


@dataclass(frozen=True, slots=True)
class Posed:
    """The problems of a step, `new` ones first, then `replays`; and what became of every proposal, group by group."""

    new: tuple[Problem, ...]
    replays: tuple[Replay, ...]
    proposals: tuple[TriagedProposal, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The attempts at each problem, with a verdict on every turn; and how often the model judge was fooled by canaries,
    None where none were put to it."""

    groups: tuple[JudgedGroup, ...]
    canaries: CanaryCount | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """A step's game, from which it learns."""

    posed: Posed
    judged: Judged
    searches: Searches
    skilled: Skilled = field(default_factory=Skilled)
    experienced: tuple[Experienced, ...] = ()  # what came of actions that are not paid for
