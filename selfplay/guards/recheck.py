"""What was paid most in a step, judged once more by other means: whether a judge can be pleased without being right.

Whatever is optimised against a judge finds its errors, and they are paid as well as what is right. So a sample is drawn
of the quarter of a step's turns that was paid most, keyed by the run's seed. A domain that can (`ChecksAgain`) says of
each whether it is right, by means that share nothing with its `judge`. What differs is stored; pay stays as it was.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curriculum.domains.protocol import ChecksAgain
from roles.judging.groups import JudgedTurn
from selfplay import metrics
from selfplay.learn.lessons import SolverLesson
from store.records import Disagreement, Outcome, Problem

PART = 4  # a sample is of one in so many turns


@dataclass(frozen=True, slots=True)
class Paid:
    """A turn that was judged, and what it was paid."""

    problem: Problem
    attempt: int
    turn: int
    judged: JudgedTurn
    reward: float


@dataclass(frozen=True, slots=True)
class Rechecker:
    """Looks at `number` >= 0 turns a step. `domain` None: it cannot check again, and `number` is 0."""

    domain: ChecksAgain | None
    read: Callable[[str], str]
    number: int
    seed: int

    def check(self, lessons: Sequence[SolverLesson], step: int) -> tuple[tuple[Disagreement, ...], dict[str, float]]:
        """What differs, and how many turns were checked. What the domain cannot tell is not counted."""
        if self.number == 0 or self.domain is None:
            return (), {}
        found, checked = [], 0
        for each in drawn(paid_turns(lessons), self.number, f"{self.seed}/recheck/{step}"):
            text = self.read(each.judged.sampled.completion.text)
            is_right, means = self.domain.check_again(each.problem, text)
            if is_right is None:
                continue
            checked += 1
            if is_right != each.judged.is_right:
                problem_id, outcome = each.problem.problem_id, each.judged.outcome
                found.append(Disagreement(problem_id, each.attempt, each.turn, outcome, is_right, means))
        figures = {metrics.RECHECKED: float(checked), metrics.DISAGREEMENTS: float(len(found))}
        return tuple(found), figures


def paid_turns(lessons: Sequence[SolverLesson]) -> list[Paid]:
    """Every turn that has a verdict and was paid, but for those that the limit cut: nothing is asked about these."""
    return [
        Paid(lesson.group.problem, attempt.index, place, turn, reward)
        for lesson in lessons
        for attempt, rewards in zip(lesson.group.attempts, lesson.paid, strict=True)
        for place, (turn, reward) in enumerate(zip(attempt.turns, rewards, strict=False))
        if reward is not None and turn.outcome not in (Outcome.UNJUDGED, Outcome.TRUNCATED)
    ]


def drawn(turns: Sequence[Paid], number: int, key: str) -> list[Paid]:
    """`number` of the quarter that was paid most, or of more where that has fewer. Of equals it is drawn which are in
    the quarter."""
    rng = random.Random(key)
    ordered = sorted(rng.sample(list(turns), len(turns)), key=lambda each: -each.reward)
    most = ordered[: max(number, -(-len(turns) // PART))]
    return rng.sample(most, min(number, len(most)))
