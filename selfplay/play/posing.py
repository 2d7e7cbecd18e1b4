"""What a step poses: the challenger's proposals, triaged and admitted, and replays that fill the step."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Domain, Drawable, Posable, problem_id_of, problem_of
from curriculum.holdout import HeldOut
from curriculum.selection.admission import Candidate, triage
from curriculum.selection.filling import fill, fill_up
from curriculum.selection.rescue import Rescuer
from curriculum.selection.scheduler import Replay, Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.posterior import learnability
from roles.challenger import ProposedGroup
from roles.prompts import PromptStyle
from roles.requests import mean_logprob
from selfplay.play.step import Posed, TriagedProposal
from store.records import Fate, Origin, Problem

DRAWS = 200  # tries to find new problems for the procedural control
Fits = Callable[..., bool]  # of a problem, and of the help that its prompt has
LevelRule = Literal["uniform", "learnable"]
_LEAST_WEIGHT = 0.05  # of a level that teaches nothing now, beside 1 at pass rate 1/2: so that a rise is seen


@dataclass(frozen=True, slots=True)
class Poser:
    """Admission and scheduling for one run. `fits`: whether all that is said about a problem fits into the model.
    `drawn_share`: share of a step's places that the domain's own sampler fills beside the challenger. `rescuer` None:
    what is too hard gets no help."""

    domain: Domain
    held_out: HeldOut
    tracker: Tracker
    scheduler: Scheduler
    settings: CurriculumSettings
    seed: int
    fits: Fits = lambda problem, help="": True
    levels: LevelRule = "uniform"
    drawn_share: float = 0.0
    rescuer: Rescuer | None = None

    def pose(self, step: int, groups: Sequence[ProposedGroup], style: PromptStyle, num_problems: int) -> Posed:
        """Rescue what is too hard, draw the domain's share, triage proposals, admit the most promising, fill up with
        replays to exactly `num_problems`."""
        domain = ability(self.domain, Posable, "a challenger")
        rescued, scheduler = self._rescued(step, num_problems)
        drawn = self._drawn(step, round(num_problems * self.drawn_share))
        places = num_problems - len(drawn) - len(rescued)
        proposals: list[TriagedProposal] = []
        candidates = []
        seen = set(drawn)
        for group in groups:
            for index, sampled in enumerate(group.proposals):
                fate, statement = triage(
                    group.parent, style.visible(sampled.completion.text), sampled.completion.finish,
                    domain, self.tracker.knows, self.held_out, seen, self.fits,
                )  # fmt: skip
                known = statement is not None and fate is Fate.DUPLICATE
                problem_id = problem_id_of(domain.name, statement.canonical) if statement and known else None
                if statement is not None and fate is Fate.ACCEPTED:
                    problem = problem_of(statement, domain.name, Origin.CHALLENGER, group.parent.problem_id)
                    candidates.append(Candidate(group.group, index, problem, mean_logprob(sampled.completion)))
                proposals.append(TriagedProposal(group.parent, group.group, index, sampled, fate, problem_id))
        rng = self._random(step, "admission")
        filled = fill(step, places, candidates, scheduler, self.tracker, self.settings, rng)
        admitted = {(c.group, c.index): c.problem.problem_id for c in filled.accepted}
        return Posed(
            new=(*drawn.values(), *(candidate.problem for candidate in filled.accepted)),
            replays=(*rescued, *filled.replays),
            proposals=tuple(_settled(proposal, admitted) for proposal in proposals),
        )

    def pose_procedurally(self, step: int, num_problems: int) -> Posed:
        """The domain's own sampler in the challenger's place."""
        rescued, scheduler = self._rescued(step, num_problems)
        places = num_problems - len(rescued)
        new = self._drawn(step, scheduler.num_new(step, places))
        replays = fill_up(step, places - len(new), num_problems, scheduler)
        return Posed(tuple(new.values()), (*rescued, *replays))

    def pose_known(self, step: int, num_problems: int) -> Posed:
        """Nothing new: problems of a finite set, chosen as replays are."""
        rescued, scheduler = self._rescued(step, num_problems)
        return Posed((), (*rescued, *fill_up(step, num_problems - len(rescued), num_problems, scheduler)))

    def _rescued(self, step: int, num_problems: int) -> tuple[list[Replay], Scheduler]:
        """Problems under rescue, as far as their help fits, and the scheduler of the other known ones."""
        chosen = {} if self.rescuer is None else self.rescuer.chosen(step, num_problems)
        replays = [
            Replay(self.tracker.problem(problem_id), help=given)
            for problem_id, given in chosen.items()
            if given is None or self.fits(self.tracker.problem(problem_id), given.text)
        ]
        return replays, self.scheduler.without([each.problem.problem_id for each in replays])

    def _drawn(self, step: int, count: int) -> dict[str, Problem]:
        """Up to `count` new problems of the domain's sampler, by id. Levels are drawn uniformly, or by what they may
        teach: 4 p (1 - p) + 0.05 of the level's pass rate p, so that they rise and fall with what is solved."""
        drawn: dict[str, Problem] = {}
        if count == 0:
            return drawn
        rng, domain = self._random(step, "procedural"), ability(self.domain, Drawable, "a sampler")
        weights = [learnability(self.tracker.level_rate(level)) + _LEAST_WEIGHT for level in domain.levels]
        for _ in range(DRAWS):
            if len(drawn) == count:
                break
            level = rng.choice(domain.levels) if self.levels == "uniform" else rng.choices(domain.levels, weights)[0]
            statement = domain.draw(rng, level)
            problem = problem_of(statement, domain.name, Origin.PROCEDURAL)
            if self.held_out.contains(statement.canonical) or self.tracker.knows(problem.problem_id):
                continue
            if self.fits(problem):
                drawn[problem.problem_id] = problem
        return drawn

    def _random(self, step: int, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/posing/{step}/{purpose}")


def _settled(proposal: TriagedProposal, admitted: Mapping[tuple[int, int], str]) -> TriagedProposal:
    """What was valid and new is ACCEPTED where the step has a place for it, else SURPLUS."""
    if proposal.fate is not Fate.ACCEPTED:
        return proposal
    problem_id = admitted.get((proposal.group, proposal.index))
    return replace(proposal, fate=Fate.SURPLUS if problem_id is None else Fate.ACCEPTED, problem_id=problem_id)
