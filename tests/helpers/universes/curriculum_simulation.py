"""A fake solver and a fake challenger for the curriculum's tests: a run of many steps in a second, without a model.

The solver's skill at a family rises with every group that has a signal, and fades a little when it is not trained, so
that both ways of failing of the naive pilot (too hard problems pour in; what was known is forgotten) can happen.
"""

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.protocol import problem_of
from curriculum.holdout import HeldOut
from curriculum.selection.admission import Candidate, triage
from curriculum.selection.filling import fill
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Fate, Finish, Origin, PassRate, Problem, StepHistory

GROUP_SIZE = 8
NUM_PROBLEMS = 16


@dataclass
class FakeSolver:
    """P(right) is logistic in (skill of the shape - size of the problem - a quirk of the problem)."""

    skills: dict[str, float] = field(default_factory=dict)

    def rate(self, problem: Problem) -> float:
        quirk = int(hashlib.sha256(problem.problem_id.encode()).hexdigest()[:8], 16) / 2**32 - 0.5
        skill = self.skills.get(shape(problem), 0.0)
        return 1.0 / (1.0 + math.exp(-(skill + 3.2 - 1.1 * problem.level - 2.0 * quirk)))

    def attempt(self, problem: Problem, attempts: int, rng: random.Random) -> int:
        return sum(rng.random() < self.rate(problem) for _ in range(attempts))

    def learn(self, trained: list[Problem]) -> None:
        """A group with a signal teaches its shape; what is not trained fades."""
        shapes = {shape(problem) for problem in trained}
        for name in self.skills:
            if name not in shapes:
                self.skills[name] -= 0.01
        for problem in trained:
            self.skills[shape(problem)] = self.skills.get(shape(problem), 0.0) + 0.06


def shape(problem: Problem) -> str:
    """The family without its carries: they make a sum harder, but adding is one skill."""
    return problem.family.split(" ")[0]


def escalated(text: str, rng: random.Random) -> str:
    """A random change for the harder, in any spelling: longer operands, one more operand, another operator."""
    tokens = text.split()
    place = rng.randrange(0, len(tokens), 2)
    match rng.randrange(4):
        case 0:
            tokens[place] = str(rng.randrange(1, 10)) + tokens[place]
        case 1:
            tokens[place] = str(rng.randrange(10 ** (len(tokens[place]) - 1), 10 ** len(tokens[place])))
        case 2:
            tokens += [rng.choice("+-*"), str(rng.randrange(10))]
        case _:
            tokens[max(1, place - 1)] = rng.choice("+-*")
    return " ".join(tokens)


@dataclass(frozen=True)
class Record:
    """What one simulated step came to."""

    signal_share: float
    num_problems: int
    num_new: int
    admitted: tuple[Problem, ...]


@dataclass
class Simulation:
    """`uniform` replaces every decision of the curriculum by an even chance: the baseline."""

    seed: int
    uniform: bool = False
    settings: CurriculumSettings = field(default_factory=CurriculumSettings)

    def __post_init__(self) -> None:
        self.domain = ArithmeticDomain()
        self.held_out = HeldOut(self.domain, "selfplay-1")
        self.solver = FakeSolver()
        self.tracker = Tracker(self.settings)
        self.scheduler = Scheduler(self.tracker, self.settings, self.seed)
        seeds = tuple(problem_of(statement, "arithmetic", Origin.SEED) for statement in self.domain.seeds())
        self.history = [StepHistory(0, 0, seeds, (), ())]
        self.tracker.observe(self.history[0])

    def run(self, num_steps: int, watch: Callable[["Simulation"], None] | None = None) -> list[Record]:
        records = []
        for step in range(1, num_steps + 1):
            records.append(self._step(step))
            if watch:
                watch(self)
        return records

    def _step(self, step: int) -> Record:
        rng = random.Random(f"{self.seed}/simulation/{step}")
        candidates = self._candidates(step, rng)
        new, replays = self._chosen(step, candidates, rng)
        rates: list[PassRate] = []
        trained: list[Problem] = []
        for problem, multiplier in [(problem, 1) for problem in new] + replays:
            attempts = GROUP_SIZE * multiplier
            successes = self.solver.attempt(problem, attempts, rng)
            rates.append(PassRate(problem.problem_id, step - 1, attempts, successes))
            trained += [problem] * (0 < successes < attempts)
        self.solver.learn(trained)
        self.history.append(StepHistory(step, step, tuple(new), (), tuple(rates)))
        self.tracker.observe(self.history[-1])
        return Record(len(trained) / len(rates), len(rates), len(new), tuple(new))

    def _candidates(self, step: int, rng: random.Random) -> list[Candidate]:
        parents = self.scheduler.parents(step, 6)
        if self.uniform:
            parents = [self.tracker.problem(rng.choice(list(self.tracker.problem_ids()))) for _ in range(6)]
        seen: set[str] = set()
        candidates = []
        for number, parent in enumerate(parents):
            for index in range(8):
                text = escalated(parent.text, rng)
                fate, statement = triage(
                    parent, text, Finish.STOP, self.domain, self.tracker.knows, self.held_out, seen
                )
                if fate is Fate.ACCEPTED and statement is not None:
                    problem = problem_of(statement, "arithmetic", Origin.CHALLENGER, parent.problem_id)
                    candidates.append(Candidate(number, index, problem))
        return candidates

    def _chosen(
        self, step: int, candidates: list[Candidate], rng: random.Random
    ) -> tuple[list[Problem], list[tuple[Problem, int]]]:
        """New problems, and replays with their group multiplier."""
        if self.uniform:
            new = [each.problem for each in rng.sample(candidates, min(len(candidates), NUM_PROBLEMS // 2))]
            known = list(self.tracker.problem_ids())
            replayed = rng.sample(known, min(NUM_PROBLEMS - len(new), len(known)))
            return new, [(self.tracker.problem(each), 1) for each in replayed]
        filled = fill(step, NUM_PROBLEMS, candidates, self.scheduler, self.tracker, self.settings, rng)
        replays = [(replay.problem, replay.group_multiplier) for replay in filled.replays]
        return [each.problem for each in filled.accepted], replays


def thirds(records: list[Record]) -> list[float]:
    """Share of groups with a signal in each third of the run."""
    size = len(records) // 3
    parts = [records[:size], records[size : 2 * size], records[2 * size :]]
    return [sum(each.signal_share for each in part) / len(part) for part in parts]
