"""Which of the solver's sets of skills is shown, told by probes when a new one was written.

The new set, the one that was shown before it, a few older ones and no skills at all answer the same probes, greedily,
by the weights of that moment. The best by the product rule is shown from then on; of equal ones the newest. The
challenger's sets are not compared: no probe says how good a problem it would pose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from roles.skills.sets import SkillSets
from selfplay.engine.voices import Voices
from selfplay.evaluation.evaluator import Evaluator
from selfplay.play.skills import Skilled
from selfplay.stats.product_rule import Answers, RateRule, best_of, product
from store.records import Problem, Side, SkillPick, SkillSet


@dataclass(frozen=True, slots=True)
class SkillPicker:
    """`fitting`: the skills of a set that there is room for beside some problems, as in a step."""

    rule: RateRule
    evaluator: Evaluator
    voices: Voices
    fitting: Callable[..., Sequence[object]]

    def picked(
        self, before: SkillSets, skilled: Skilled, hard: Sequence[Problem], easy: Sequence[Problem], step: int
    ) -> Skilled:
        """`skilled` with the solver's best set, and with what was found. As it is where no set of the solver's was
        written, or there are no probes. `before`: the sets before the rounds."""
        new = skilled.sets.solver
        if new.version == before.solver.version or not (hard or easy):
            return skilled
        compared = {each.version: each for each in (*skilled.sets.past, before.solver, new)}
        answers = {version: self._answers(each, hard, easy, step) for version, each in sorted(compared.items())}
        best = best_of(answers, self.rule)
        used_as = new.version if best == new.version else new.version + 1
        picks = tuple(
            SkillPick(
                version=version,
                hard=len(hard),
                easy=len(easy),
                hard_solved=sum(found.hard),
                easy_solved=sum(found.easy),
                product=product(found, self.rule),
                used_as=used_as if version == best else None,
            )
            for version, found in answers.items()
        )
        return replace(skilled, sets=skilled.sets.picked(picks), picks=picks)

    def _answers(self, kept: SkillSet, hard: Sequence[Problem], easy: Sequence[Problem], step: int) -> Answers:
        problems = [*hard, *easy]
        evaluator = self.evaluator
        if kept.skills:
            evaluator = evaluator.showing(self.fitting(Side.SOLVER, kept.skills, problems))  # type: ignore[arg-type]
        self.voices.end_sampling()
        groups = evaluator.greedy(problems, 1, step)
        self.voices.end_sampling()
        right = {each.problem.problem_id: each.attempts[0].turns[0].is_right for each in groups}
        return Answers(*(tuple(right[each.problem_id] for each in of) for of in (hard, easy)))
