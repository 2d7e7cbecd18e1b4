"""What a challenger is paid beside the difficulty of what it posed: that it is new, that it is aimed, that it taught.

    reward = R(p) (1 - w_n (1 - novelty)) (1 - w_a (1 - aim)) + c BOOKED credit / m

R(p) is the reward of the pass rate. Novelty and aim only take from it, so that what is never solved, or always, is paid
nothing for being new or near. `credit` is what was learned of the proposal's family since it was last paid for, shared
among the family's m measured proposals of the step. Each part is off with a weight of 0.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curriculum.selection.aim import Targets
from curriculum.selection.archive import Archive
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.learned import BOOKED
from store.records import Problem


@dataclass(frozen=True, slots=True)
class Shaped:
    """The parts of a proposal's reward, for those that are on; None for those that are not."""

    novelty: float | None = None  # (0, 1]
    aim: float | None = None  # [0, 1]
    learned: float | None = None  # what is added: [-c BOOKED, c BOOKED]


UNSHAPED = Shaped()


@dataclass(frozen=True, slots=True)
class Shaping:
    """`novelty` w_n and `aim` w_a in [0, 1], `learned` c >= 0. Reads the tracker as it stands before the step is
    observed. `archive` is there where `novelty` is above 0, `targets` where something is aimed at."""

    tracker: Tracker
    novelty: float = 0.0
    aim: float = 0.0
    learned: float = 0.0
    archive: Archive | None = None
    targets: Targets | None = None

    def parts(self, problems: Sequence[Problem]) -> Mapping[str, Shaped]:
        """By problem_id, of the step's measured proposals."""
        unsolved = () if self.targets is None else self.targets.unsolved(lambda each: self.tracker.forecast(each)[0])
        shared = Counter(problem.family for problem in problems)
        return {
            each.problem_id: Shaped(
                novelty=None if self.archive is None else self.archive.novelty(each),
                aim=None if self.targets is None else self.targets.aim(each, unsolved),
                learned=self._learned(each, shared[each.family]) if self.learned > 0 else None,
            )
            for each in problems
        }

    def _learned(self, problem: Problem, sharing: int) -> float:
        return self.learned * BOOKED * self.tracker.credit(problem.family) / sharing

    def shaped(self, reward: float, parts: Shaped) -> float:
        """The reward with its parts."""
        if parts.novelty is not None:
            reward *= 1.0 - self.novelty * (1.0 - parts.novelty)
        if parts.aim is not None:
            reward *= 1.0 - self.aim * (1.0 - parts.aim)
        return reward + (parts.learned or 0.0)
