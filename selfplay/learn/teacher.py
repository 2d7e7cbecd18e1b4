"""From a step's game to what is trained: which groups push, and by how much, is decided in this package alone.

Pure but for one effect: a completion that is copied where nobody sampled it is added to the step's tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curriculum.answers.formats import Formats
from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import JudgedGroup
from roles.prompts import PromptStyle
from roles.search.credit import CreditSettings
from roles.solver import turn_label
from roles.tree import Tree
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.learn.clip_cov import clip_cov
from selfplay.learn.copies.experience import experience_samples
from selfplay.learn.copies.imitation import imitated
from selfplay.learn.critic_batch import CriticBatch, CriticTeaching, critic_batch
from selfplay.learn.dense import best_path, credited
from selfplay.learn.lessons import SolverLesson, solver_lesson
from selfplay.learn.proposals import PaidProposal, ProposalPay, challenger_samples
from selfplay.learn.quota import with_quota
from selfplay.learn.reports import report_pay
from selfplay.learn.scaling import scaled_by_batch
from selfplay.learn.settings import TeachingSettings
from selfplay.learn.stages import Stage, StageFacts, stage_after
from selfplay.play.step import Played
from selfplay.prompting.codec import Encode

NO_CRITICS = CriticTeaching(held_out=0.0, process_threshold=0.0, has_heads=False)


@dataclass(frozen=True, slots=True)
class Taught:
    """What a step teaches: a lesson a group of attempts, what each proposal is paid, SCoRe's stage, the update's batch,
    and that of the critic heads, None where there is nothing for them."""

    lessons: tuple[SolverLesson, ...]
    proposals: tuple[PaidProposal, ...]
    stage: Stage
    batch: TrainBatch
    critics: CriticTeaching
    critic_batch: CriticBatch | None = None
    credit: CreditSettings | None = None  # how searched first tries were paid, step by step
    num_clipped: int = 0  # rows of the batch that Clip-Cov has left out


@dataclass(frozen=True, slots=True)
class Teacher:
    settings: TeachingSettings
    tracker: Tracker  # what is known of the problems; only read
    style: PromptStyle
    encode: Encode
    critics: CriticTeaching = NO_CRITICS
    formats: Formats | None = None  # needed where formats are trained on
    pay: ProposalPay | None = None  # of the challenger; None: by the pass rate alone
    limit: int | None = None  # tokens of a context, beyond which the model cannot go

    def teach(self, tree: Tree, played: Played, facts: Sequence[StageFacts], step: int = 0) -> Taught:
        """Rewards and advantages for every turn and every proposal, summed over the tree. `facts`: of the run's first
        steps, as many as stage I may have. `step` keys what is drawn."""
        learning = self.settings.learning
        lessons = self._lessons(tree, played)
        bare = [group for group in played.judged.groups if group.help is None]
        rates = {group.problem.problem_id: group.first_try_rate for group in bare}
        pay = self.pay or ProposalPay(learning)
        proposals = pay.paid(played.posed, rates)
        samples = [sample for lesson in lessons for sample in lesson.samples]
        rule, invalid, kl_labels = learning.advantage, learning.invalid_reward, learning.kl_labels
        wants_new = pay.gate.wants_new
        samples += challenger_samples(proposals, rule, invalid, kl_labels, learning.scale, wants_new)
        stage = stage_after(facts, self.settings.stage_one)
        objective = self.settings.objectives[stage]
        if learning.scale == "batch" and self.settings.imitation == "none":
            samples = scaled_by_batch(samples)
        keeps, mean, experience = self.settings.keeps_sequences, self.settings.mean, self.settings.experience
        samples = [] if experience.is_alone(step) else samples
        samples += experience_samples(tree, played.experienced, experience.weights, self.style, self.encode, self.limit)
        weights = {**objective.weights, **experience.weights}
        batch = build_batch(tree, samples, weights, objective.kl, keeps, mean)
        batch, clipped = clip_cov(batch, self.settings.clip_cov, f"{self.settings.seed}/clip_cov/{step}")
        rows = self.critics.rows(played.searches.values())
        critic, credit = critic_batch(tree, rows), self.settings.credit
        return Taught(lessons, proposals, stage, batch, self.critics, critic, credit, clipped)

    def _lessons(self, tree: Tree, played: Played) -> tuple[SolverLesson, ...]:
        learning, groups = self.settings.learning, played.judged.groups
        pay = report_pay(learning.report_reward, groups)
        rate = self.tracker.second_look_rate
        formats = [self._formats_of(group) for group in groups]
        lessons = [
            solver_lesson(group, self._is_banked(group), rate, learning, pay, told)
            for group, told in zip(groups, formats, strict=True)
        ]
        if self.settings.imitation != "none":
            lessons = [replace(each, samples=self._imitated(tree, each.group, played)) for each in lessons]
        elif self.settings.credit is not None:
            lessons = [self._credited(each, played) for each in lessons]
        elif self.settings.format_quota > 0:
            lessons = with_quota(lessons, [told or () for told in formats], self.settings.format_quota)
        return tuple(lessons)

    def _formats_of(self, group: JudgedGroup) -> list[str] | None:
        """The format of each judged attempt's first try; None where nothing is trained by formats."""
        if self.formats is None or (self.settings.learning.baseline != "format" and not self.settings.format_quota):
            return None
        firsts = [attempt.turns[0].sampled.completion.text for attempt in group.judged]
        return [self.formats.of(group.problem, self.style.visible(text)) for text in firsts]

    def _imitated(self, tree: Tree, group: JudgedGroup, played: Played) -> tuple[TrainSample, ...]:
        if self.settings.imitation != "best_path":
            return imitated(tree, group, self.settings.imitation, self._spelled)
        found = played.searches.get(group.problem.problem_id)
        return () if found is None else tuple(best_path(found))  # what was not searched teaches nothing

    def _spelled(self, answer: str, after: int) -> Sequence[int]:
        """Ids of a completion behind the token `after` that gives `answer`."""
        return self.encode(self.style.completion(answer), after)

    def _credited(self, lesson: SolverLesson, played: Played) -> SolverLesson:
        """First tries paid step by step, where the problem was searched."""
        found = played.searches.get(lesson.group.problem.problem_id)
        if found is None or self.settings.credit is None:
            return lesson
        is_banked, kl_labels = self._is_banked(lesson.group), self.settings.learning.kl_labels
        paid = credited(found, self.settings.credit, is_banked, kl_labels)
        later = [sample for sample in lesson.samples if sample.label != turn_label(0)]
        return replace(lesson, samples=(*paid, *later))

    def _is_banked(self, group: JudgedGroup) -> bool:
        return self.tracker.banks(group.problem.problem_id, group.num_first_right)
