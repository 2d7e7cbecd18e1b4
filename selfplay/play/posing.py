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
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.posterior import learnability
from roles.challenger import ProposedGroup
from roles.prompts import PromptStyle
from selfplay.play.step import Posed, TriagedProposal
from store.records import Fate, Origin, Problem

DRAWS = 200  # tries to find new problems for the procedural control
LevelRule = Literal["uniform", "learnable"]
_LEAST_WEIGHT = 0.05  # of a level that teaches nothing now, beside 1 at pass rate 1/2: so that a rise is seen


@dataclass(frozen=True, slots=True)
class Poser:
    """Admission and scheduling for one run. `fits`: whether all that is said about a problem fits into the model."""

    domain: Domain
    held_out: HeldOut
    tracker: Tracker
    scheduler: Scheduler
    settings: CurriculumSettings
    seed: int
    fits: Callable[[Problem], bool] = lambda problem: True
    levels: LevelRule = "uniform"

    def pose(self, step: int, groups: Sequence[ProposedGroup], style: PromptStyle, num_problems: int) -> Posed:
        """Triage proposals, admit the most promising, fill up with replays to exactly `num_problems`."""
        domain = ability(self.domain, Posable, "a challenger")
        proposals: list[TriagedProposal] = []
        candidates = []
        seen: set[str] = set()
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
                    candidates.append(Candidate(group.group, index, problem))
                proposals.append(TriagedProposal(group.parent, group.group, index, sampled, fate, problem_id))
        rng = self._random(step, "admission")
        filled = fill(step, num_problems, candidates, self.scheduler, self.tracker, self.settings, rng)
        admitted = {(c.group, c.index): c.problem.problem_id for c in filled.accepted}
        return Posed(
            new=tuple(candidate.problem for candidate in filled.accepted),
            replays=filled.replays,
            proposals=tuple(_settled(proposal, admitted) for proposal in proposals),
        )

    def pose_procedurally(self, step: int, num_problems: int) -> Posed:
        """The domain's own sampler in the challenger's place. Levels are drawn uniformly, as a control, or by what they
        may teach: 4 p (1 - p) + 0.05 of the level's pass rate p, so that they rise and fall with what is solved."""
        domain = ability(self.domain, Drawable, "posing without a challenger")
        rng = self._random(step, "procedural")
        new: dict[str, Problem] = {}
        num_new = self.scheduler.num_new(step, num_problems)
        levels = domain.levels
        weights = [learnability(self.tracker.level_rate(level)) + _LEAST_WEIGHT for level in levels]
        for _ in range(DRAWS):
            if len(new) == num_new:
                break
            level = rng.choice(levels) if self.levels == "uniform" else rng.choices(levels, weights)[0]
            statement = domain.draw(rng, level)
            problem = problem_of(statement, domain.name, Origin.PROCEDURAL)
            if self.held_out.contains(statement.canonical) or self.tracker.knows(problem.problem_id):
                continue
            if self.fits(problem):
                new[problem.problem_id] = problem
        replays = fill_up(step, num_problems - len(new), num_problems, self.scheduler)
        return Posed(tuple(new.values()), tuple(replays))

    def pose_known(self, step: int, num_problems: int) -> Posed:
        """Nothing new: problems of a finite set, chosen as replays are."""
        return Posed((), tuple(fill_up(step, num_problems, num_problems, self.scheduler)))

    def _random(self, step: int, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/posing/{step}/{purpose}")


def _settled(proposal: TriagedProposal, admitted: Mapping[tuple[int, int], str]) -> TriagedProposal:
    """What was valid and new is ACCEPTED where the step has a place for it, else SURPLUS."""
    if proposal.fate is not Fate.ACCEPTED:
        return proposal
    problem_id = admitted.get((proposal.group, proposal.index))
    return replace(proposal, fate=Fate.SURPLUS if problem_id is None else Fate.ACCEPTED, problem_id=problem_id)
