"""Five universes for the curriculum's tests: pass rates by problem, proposals drawn from the universe, no model.

Three ways of choosing what a step attempts go through each: the curriculum (the real Tracker, Scheduler and `fill`),
uniform choice (of parents, of new problems for half of the step, of known ones for the rest), and an oracle that knows
every pass rate but sees only what was proposed to the curriculum, step by step.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curriculum.selection.admission import Candidate
from curriculum.selection.filling import fill
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Fate, Origin, PassRate, Problem, Proposal, StepHistory

GROUP_SIZE = 8
NUM_PROBLEMS = 24
PARENTS, PROPOSALS = 8, 6
VALID_SHARE = 0.8  # of proposals: about 38 of 48 are valid and new


@dataclass
class Universe:
    """Problems are born with a family, a level and what decides their pass rate; `skill` grows with what teaches."""

    seed: int = 0
    skill: float = 0.0
    step: int = 0
    born: int = 0
    facts: dict[str, float] = field(default_factory=dict)  # problem_id -> what decides its rate

    def seeds(self) -> list[Problem]:
        raise NotImplementedError

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        raise NotImplementedError

    def rate(self, problem: Problem) -> float:
        return self.facts[problem.problem_id]

    def learn(self, taught: int) -> None:
        """`taught` groups of the step had a signal."""

    def born_problem(self, family: str, level: int, fact: float, rng: random.Random, parent: str | None) -> Problem:
        self.born += 1
        name, text = f"p{self.born}", "".join(rng.choices("0123456789+ ", k=8))
        self.facts[name] = fact
        origin = Origin.CHALLENGER if parent else Origin.SEED
        return Problem(name, "universe", f"{text} {name}", name, family, level, "0", "executed", origin, parent)


@dataclass
class Rare(Universe):
    """Four families; a share of the problems is learnable, of the others half are always solved and half never."""

    learnable: float = 0.03

    def seeds(self) -> list[Problem]:
        rng = random.Random(f"{self.seed}/seeds")
        return [self._born(f"family{number % 4}", rng, None) for number in range(16)]

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        family = parent.family if rng.random() < 0.7 else f"family{rng.randrange(4)}"
        return self._born(family, rng, parent.problem_id)

    def _born(self, family: str, rng: random.Random, parent: str | None) -> Problem:
        rate = 0.5 if rng.random() < self.learnable else float(rng.random() < 0.5)
        return self.born_problem(family, 1, rate, rng, parent)


@dataclass
class Ladder(Universe):
    """Twelve levels, a family each; only what is about as high as the skill is learnable, and it lifts the skill."""

    skill: float = 1.0
    lift: float = 0.002

    def seeds(self) -> list[Problem]:
        rng = random.Random(f"{self.seed}/seeds")
        return [self._born(1 + number % 3, rng, None) for number in range(12)]

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        level = parent.level + rng.choices((-1, 0, 1, 2), (1, 5, 4, 2))[0]
        return self._born(min(12, max(1, level)), rng, parent.problem_id)

    def rate(self, problem: Problem) -> float:
        height = problem.level + self.facts[problem.problem_id]
        return min(1.0, max(0.0, 0.5 + 3 * (self.skill - height)))

    def learn(self, taught: int) -> None:
        self.skill += self.lift * taught

    def _born(self, level: int, rng: random.Random, parent: str | None) -> Problem:
        return self.born_problem(f"level{level}", level, rng.uniform(-0.5, 0.5), rng, parent)


@dataclass
class TinyFamilies(Universe):
    """Thousands of families of a few problems each: one in five is learnable, two always solved, two never."""

    families: int = 4000

    def seeds(self) -> list[Problem]:
        rng = random.Random(f"{self.seed}/seeds")
        return [self._born(number, rng, None) for number in range(24)]

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        own = int(parent.family.removeprefix("family"))
        return self._born(own if rng.random() < 0.2 else rng.randrange(self.families), rng, parent.problem_id)

    def _born(self, family: int, rng: random.Random, parent: str | None) -> Problem:
        rate = (0.0, 0.0, 0.5, 1.0, 1.0)[random.Random(f"{self.seed}/{family}").randrange(5)]
        return self.born_problem(f"family{family}", 1 + family % 3, rate, rng, parent)


@dataclass
class ManyLevels(Universe):
    """A level is a size, from 1 to 1,500: what is as large as the skill is solved half the time, within some sixty."""

    skill: float = 60.0
    lift: float = 0.15

    def seeds(self) -> list[Problem]:
        rng = random.Random(f"{self.seed}/seeds")
        return [self._born(1 + 8 * number, rng, None) for number in range(16)]

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        return self._born(min(1500, max(1, parent.level + rng.randint(-30, 60))), rng, parent.problem_id)

    def rate(self, problem: Problem) -> float:
        return min(1.0, max(0.0, 0.5 + (self.skill - problem.level - self.facts[problem.problem_id]) / 60))

    def learn(self, taught: int) -> None:
        self.skill += self.lift * taught

    def _born(self, level: int, rng: random.Random, parent: str | None) -> Problem:
        return self.born_problem(f"size{level}", level, rng.uniform(-30, 30), rng, parent)


@dataclass
class Abrupt(Universe):
    """Five families, never solved at first; each is learnable for eighty steps, all at once, and always solved then.
    Which one is learnable changes every sixty steps, whatever is trained."""

    def seeds(self) -> list[Problem]:
        rng = random.Random(f"{self.seed}/seeds")
        return [self._born(number % 5, rng, None) for number in range(15)]

    def child(self, parent: Problem, rng: random.Random) -> Problem:
        own = int(parent.family.removeprefix("family"))
        return self._born(own if rng.random() < 0.6 else rng.randrange(5), rng, parent.problem_id)

    def rate(self, problem: Problem) -> float:
        opens = 60 * int(problem.family.removeprefix("family"))
        if self.step < opens:
            return 0.0
        return self.facts[problem.problem_id] if self.step < opens + 80 else 1.0

    def _born(self, family: int, rng: random.Random, parent: str | None) -> Problem:
        return self.born_problem(f"family{family}", 1, rng.uniform(0.2, 0.8), rng, parent)


@dataclass(frozen=True)
class Offer:
    """What a step's challenger came up with: every parent, and the valid and new ones by parent."""

    parents: tuple[Problem, ...]
    candidates: tuple[Candidate, ...]


def offer(universe: Universe, parents: Sequence[Problem], rng: random.Random) -> Offer:
    found = [
        Candidate(group, index, universe.child(parent, rng))
        for group, parent in enumerate(parents)
        for index in range(PROPOSALS)
        if rng.random() < VALID_SHARE
    ]
    return Offer(tuple(parents), tuple(found))


@dataclass
class Tally:
    """What a way of choosing came to, a step an entry."""

    signals: list[int] = field(default_factory=list)  # groups with right and wrong first tries
    new: list[int] = field(default_factory=list)
    taught: Counter[str] = field(default_factory=Counter)  # by problem
    skill: float = 0.0

    def note(self, universe: Universe, new: int, asked: Sequence[tuple[Problem, int]], step: int) -> list[PassRate]:
        """Attempts at what was chosen."""
        rates = []
        for problem, attempts in asked:
            draws = random.Random(f"{universe.seed}/{step}/{problem.problem_id}")
            chance = universe.rate(problem)
            right = sum(draws.random() < chance for _ in range(attempts))
            rates.append(PassRate(problem.problem_id, step - 1, attempts, right))
        taught = [rate.problem_id for rate in rates if 0 < rate.successes < rate.attempts]
        self.taught.update(taught)
        self.signals.append(len(taught))
        self.new.append(new)
        universe.learn(len(taught))
        self.skill = universe.skill
        return rates


@dataclass
class Played:
    """A run of the curriculum, with the offers that it had and the steps that its tracker saw."""

    tally: Tally
    offers: list[Offer]
    tracker: Tracker
    history: list[StepHistory]


def play_curriculum(
    universe: Universe,
    num_steps: int,
    settings: CurriculumSettings | None = None,
    watch: Callable[[Tracker], None] | None = None,
) -> Played:
    settings = settings or CurriculumSettings()
    tracker = Tracker(settings)
    scheduler = Scheduler(tracker, settings, universe.seed)
    played = Played(Tally(), [], tracker, [StepHistory(0, 0, tuple(universe.seeds()), (), ())])
    tracker.observe(played.history[0])
    for step in range(1, num_steps + 1):
        universe.step = step
        rng = random.Random(f"{universe.seed}/ours/{step}")
        made = offer(universe, scheduler.parents(step, PARENTS), rng)
        filled = fill(step, NUM_PROBLEMS, made.candidates, scheduler, tracker, settings, rng)
        new = [each.problem for each in filled.accepted]
        asked = [(each, GROUP_SIZE) for each in new]
        asked += [(each.problem, GROUP_SIZE * each.group_multiplier) for each in filled.replays]
        rates = played.tally.note(universe, len(new), asked, step)
        accepted = {(each.group, each.index) for each in filled.accepted}
        told = tuple(
            _proposal(made.parents[each.group], each, (each.group, each.index) in accepted) for each in made.candidates
        )
        played.history.append(StepHistory(step, step, tuple(new), told, tuple(rates)))
        tracker.observe(played.history[-1])
        played.offers.append(made)
        if watch:
            watch(tracker)
    return played


def play_uniformly(universe: Universe, num_steps: int) -> Tally:
    known, tally = universe.seeds(), Tally()
    for step in range(1, num_steps + 1):
        universe.step = step
        rng = random.Random(f"{universe.seed}/uniform/{step}")
        candidates = offer(universe, rng.choices(known, k=PARENTS), rng).candidates
        new = [each.problem for each in rng.sample(candidates, min(len(candidates), NUM_PROBLEMS // 2))]
        replayed = rng.sample(known, min(len(known), NUM_PROBLEMS - len(new)))
        tally.note(universe, len(new), [(each, GROUP_SIZE) for each in new + replayed], step)
        known += new
    return tally


def play_oracle(universe: Universe, offers: Sequence[Offer], seeds: Sequence[Problem]) -> Tally:
    """The most learnable of all that was ever offered. `universe` knows all of it already, but has not learned yet."""
    known, tally = {each.problem_id: each for each in seeds}, Tally()
    for step, made in enumerate(offers, 1):
        universe.step = step
        fresh = {each.problem.problem_id: each.problem for each in made.candidates}
        known |= fresh
        chosen = sorted(known.values(), key=lambda each: abs(universe.rate(each) - 0.5))[:NUM_PROBLEMS]
        num_new = sum(each.problem_id in fresh for each in chosen)
        tally.note(universe, num_new, [(each, GROUP_SIZE) for each in chosen], step)
    return tally


def _proposal(parent: Problem, each: Candidate, is_accepted: bool) -> Proposal:
    fate, problem_id = (Fate.ACCEPTED, each.problem.problem_id) if is_accepted else (Fate.SURPLUS, None)
    return Proposal(parent.problem_id, each.group, each.index, each.problem.text, fate, problem_id, None)
