"""One step of the game: problems are proposed, posed, attempted, judged and searched. Values in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import ComparesAnswers
from roles.challenger import propose
from roles.experience import Experienced
from roles.judging.by_majority import MajoritySettings, judge_by_majority
from roles.judging.by_model import ModelJudgeSettings, canary_requests, judge_by_model, total
from roles.judging.failures import JudgeWatch
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle, skill_lines
from roles.requests import SamplingParams
from roles.skills.sets import SkillSets, cases_of
from roles.skills.writing import SkillSettings, write_round
from roles.solver import SolvedGroup, SolverSettings, attempt
from roles.tree import Tree
from selfplay.engine.protocol import Sampler
from selfplay.engine.rollout import Ask, Rollout
from selfplay.engine.voices import Voices
from selfplay.play.exploring import Explorer, flattened
from selfplay.play.posing import Poser
from selfplay.play.searching import Searcher
from selfplay.play.skills import NO_HELP, Fitting, Shown, Skilled, all_of_them
from selfplay.play.step import Judged, Posed, Proposed, Searches, Step
from selfplay.prompting.codec import Encode
from store.kill_points import reach
from store.records import Attempt, Help, Problem, Side

Source = Literal["model", "procedural", "none"]  # who poses: the model, the domain's sampler, or nobody
CANARY_PROBLEMS = 3  # of a step, which the model judge is shown with answers that are wrong for sure


@dataclass(frozen=True, slots=True)
class ChallengerSettings:
    """`parents` >= 1 a step are made harder, each `proposals` >= 2 times, where `source` is the model. The domain's own
    sampler may pose in its place ("procedural"), or nobody: then the domain's seeds are all that there is ("none")."""

    parents: int
    proposals: int
    params: SamplingParams
    source: Source = "model"


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """The model judges. Every `canaries_every` steps, and in step 1, it is tried with answers that are wrong."""

    settings: ModelJudgeSettings
    canaries_every: int


@dataclass(frozen=True, slots=True)
class Game:
    """`limit`: tokens of a context, beyond which the model cannot go; None for no limit. `model_judge` and
    `majority` None: the domain judges. `searcher` None: nothing is searched. `skills` None: no skills are written, and
    those that there are stay. `fitting`: the skills that there is room for. `explorer` None: no early
    experience."""

    style: PromptStyle
    voices: Voices
    encode: Encode
    score: Ask
    limit: int | None
    poser: Poser
    num_problems: int
    challenger: ChallengerSettings
    solver: SolverSettings
    judge: JudgeSettings
    judge_watch: JudgeWatch
    model_judge: ModelJudge | None = None
    majority: MajoritySettings | None = None
    searcher: Searcher | None = None
    skills: SkillSettings | None = None
    fitting: Fitting = all_of_them
    explorer: Explorer | None = None

    def write_skills(self, step: Step, kept: SkillSets, tries: Sequence[tuple[Problem, Sequence[Attempt]]]) -> Skilled:
        """A round of each side that has cases among `tries`, what the steps before this one tried, oldest first."""
        assert self.skills is not None, "nobody writes skills in this run"
        sides = (Side.CHALLENGER, Side.SOLVER) if self.challenger.source == "model" else (Side.SOLVER,)
        cases = {side: cases_of(side, tries) for side in sides}
        roles = [
            write_round(kept.of(side), found, self.style, self.skills, self._tokens, self.limit, step.number)
            for side, found in cases.items()
            if found
        ]
        with step.timed("skills"):  # in a tree of their own: nothing of it is trained, or shares anything with what is
            made = self._rollout(step, self.voices.policy, Tree(merge=step.tree.merge)).run("skills", roles)
        rounds = tuple(each.round for each in made)
        return Skilled(kept.after(rounds), rounds, sum(each.num_sampled for each in made))

    def propose(self, step: Step, skilled: Skilled) -> Proposed:
        """Asks the challenger to make some parents harder."""
        asked = self.challenger
        if asked.source != "model":
            return Proposed()
        parents = self.poser.scheduler.parents(step.number, asked.parents)
        style = self._showing(Side.CHALLENGER, skilled, step, parents)
        roles = (
            propose(parent, i, style, asked.proposals, asked.params, step.number) for i, parent in enumerate(parents)
        )
        with step.timed("propose"):
            return Proposed(tuple(self._rollout(step, self.voices.of("challenger")).run("challenger", roles)))

    def pose(self, step: Step, proposed: Proposed) -> Posed:
        """Admits what is valid, new and promising; fills the step with replays."""
        if self.challenger.source == "procedural":
            return self.poser.pose_procedurally(step.number, self.num_problems)
        if self.challenger.source == "none":
            return self.poser.pose_known(step.number, self.num_problems)
        return self.poser.pose(step.number, proposed.groups, self.style, self.num_problems)

    def solve(self, step: Step, posed: Posed, skilled: Skilled) -> Judged:
        """Attempts at every problem, each with its second looks, and a verdict on every turn."""
        base = self.solver.group_size
        asked: list[tuple[Problem, int, Help | None]] = [(problem, base, None) for problem in posed.new]
        asked += [(each.problem, base * each.group_multiplier, each.help) for each in posed.replays]
        helped = {each.problem_id: given.text for each, _, given in asked if given is not None}
        style = self._showing(Side.SOLVER, skilled, step, [problem for problem, _, _ in asked], helped)
        roles = (attempt(p, style, self.solver, step.number, size, help=given) for p, size, given in asked)
        with step.timed("solve"):
            solved = self._rollout(step, self.voices.of("solver")).run("solver", roles)
        reach("loop.rolled_out")
        if self.model_judge is not None:
            return self._judged_by_model(step, solved, self.model_judge)
        groups = tuple(self._judged(group, step.number) for group in solved)
        self.judge_watch.check(groups, f"step {step.number}")
        return Judged(groups)

    def _judged(self, group: SolvedGroup, step: int) -> JudgedGroup:
        """Verdicts of the domain, or of the majority of the group's first tries."""
        domain, read = self.style.domain, self.style.visible
        if self.majority is None:
            return judge_group(group, domain, read, self.judge, step)
        return judge_by_majority(group, ability(domain, ComparesAnswers), read, self.majority, self.judge, step)

    def _judged_by_model(self, step: Step, solved: Sequence[SolvedGroup], judge: ModelJudge) -> Judged:
        """Verdicts of the model itself; canaries say now and then how easily it is fooled."""
        rollout = self._rollout(step, self.voices.of("judge"))
        roles = [judge_by_model(group, self.style, judge.settings, self.judge, step.number) for group in solved]
        canaries = None
        with step.timed("judge"):
            groups = rollout.run("verdict", roles)
            if step.number == 1 or step.number % judge.canaries_every == 0:
                problems = [group.problem for group in solved[:CANARY_PROBLEMS]]
                canaries = total(
                    rollout.run("canary", (canary_requests(each, self.style, judge.settings) for each in problems))
                )
        return Judged(tuple(groups), canaries)

    def search(self, step: Step, judged: Judged) -> Searches:
        """Searches on from the attempts at each problem that is to be searched."""
        if self.searcher is None:
            return {}
        wanted: list[JudgedGroup] = [group for group in judged.groups if self.searcher.wants(group)]
        roles = [self.searcher.role(group, step.tree, step.number) for group in wanted]
        with step.timed("search"):
            found = self._rollout(step, self.voices.of("solver")).run("judge", roles)
        return {each.problem.problem_id: each for each in found}

    def explore(self, step: Step, judged: Judged) -> tuple[Experienced, ...]:
        """What comes of the model's own actions in states of the step's problems."""
        if self.explorer is None or not self.explorer.is_active(step.number):
            return ()
        roles = self.explorer.roles([group.problem for group in judged.groups], step.tree, step.number)
        with step.timed("explore"):
            return flattened(self._rollout(step, self.voices.policy).run("experience", roles))

    def _showing(
        self, side: Side, skilled: Skilled, step: Step, problems: Sequence[Problem], help: Mapping[str, str] = NO_HELP
    ) -> PromptStyle:
        """The style whose prompts about `problems` show the side's skills. One choice for all of them, so that the
        tree shares it."""
        kept = skilled.sets.of(side).skills
        if not kept:
            return self.style
        skills = self.fitting(side, kept, problems, help)
        step.shown[side] = Shown(skills, len(kept) - len(skills), self._tokens(skill_lines(skills)))
        return self.style.showing(side, skills)

    def _tokens(self, text: str) -> int:
        return len(self.encode(text, None))

    def _rollout(self, step: Step, sampler: Sampler, tree: Tree | None = None) -> Rollout:
        return Rollout(
            step=step.number,
            tree=step.tree if tree is None else tree,
            sampler=sampler,
            encode=self.encode,
            commit=step.commit_wave,
            stored=step.stored,
            score=self.score,
            count=step.count,
            limit=self.limit,
        )
