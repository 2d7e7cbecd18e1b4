"""One run, open: its parts, its store, its folder. Every method is one stage of the loop with its effects."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curriculum.domains.protocol import problem_of
from curriculum.tracking.folding import keep
from curriculum.tracking.states import is_banked
from roles.challenger import propose
from roles.judging.by_model import ModelJudgeSettings, canary_requests, judge_by_model, total
from roles.judging.groups import JudgedGroup, judge_group
from roles.search.credit import CreditSettings
from roles.solver import SolvedGroup, attempt, turn_label
from roles.tree import Tree
from selfplay.engine.protocol import Engine
from selfplay.engine.rollout import Rollout
from selfplay.evaluate.alarms import first_try_alarm
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.learn.critic_batch import CriticBatch, critic_batch
from selfplay.learn.dense import best_path, credited
from selfplay.learn.imitation import ImitationRule, imitated
from selfplay.learn.lessons import SolverLesson, challenger_samples, measured_rate, proposal_reward, solver_lesson
from selfplay.learn.reports import report_pay
from selfplay.learn.stages import StageFacts, stage_after, stage_facts
from selfplay.machine.memory import device_peak_bytes, peak_bytes, release_freed_memory
from selfplay.machine.run_folder import JOURNAL_FOLDER, METRICS
from selfplay.metrics import DEVICE_PEAK
from selfplay.run import metrics_file, record
from selfplay.run.build import Parts
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.step import Step
from selfplay.run.watch import Watcher
from selfplay.train.trainer import Update
from store.errors import DiskFull
from store.journal import StepJournal, write_journal
from store.kill_points import reach
from store.records import Origin, Problem
from store.store import Store

KEPT_FOR_UPDATES = 7 << 28  # bytes: what an update of the default job needs, libraries, and some to spare
CANARY_PROBLEMS = 3  # a step that are put before the model judge with answers that are wrong for sure


@dataclass(slots=True)
class Run:
    """Stages of the loop. Made by selfplay/run/opening.py; the loop itself is selfplay/loop.py."""

    parts: Parts
    store: Store
    folder: Path
    checkpoints: Checkpoints
    watcher: Watcher
    started: float  # the process, as far as it is known, on the clock of time.monotonic()
    worked: Callable[[], None] = lambda: None  # told whenever something was stored
    snapshot_step: int = -1  # of the newest snapshot of the curriculum
    is_stopping: bool = False  # set by a signal: the run ends after the step
    signal_number: int = 0
    stage_facts: list[StageFacts] = field(default_factory=list)  # of as many first steps as stage I may have

    def steps(self) -> Iterator[Step]:
        """The steps that are left. Between steps nothing is unfinished, so a stop here loses nothing."""
        while (number := self.store.head().step + 1) <= self.parts.config.run.steps and not self.is_stopping:
            engines = self._engines()
            self.watcher.step_begins(number)
            yield Step(
                number=number,
                tree=Tree(merge=self.parts.config.train.merge),
                stored=self.store.pending_waves(number),
                started=time.monotonic(),
                computed=sum(engine.tokens.computed for engine in engines),
                flat=sum(engine.tokens.flat for engine in engines),
            )

    def propose(self, step: Step) -> None:
        """Ask the challenger to make some parents harder."""
        settings = self.parts.config.challenger
        if settings.source == "procedural":
            return
        parents = self.parts.poser.scheduler.targets(step.number, settings.targets)
        style, params = self.parts.style, self.parts.proposal_params
        roles = (propose(p, i, style, settings.proposals, params, step.number) for i, p in enumerate(parents))
        with step.timed("propose"):
            step.proposed = self._rollout(step, self.parts.challenger_engine).run("challenger", roles)

    def pose(self, step: Step) -> None:
        """Admit what is valid, new and promising; fill the step with replays."""
        num_problems = self.parts.config.solver.problems
        if self.parts.config.challenger.source == "procedural":
            step.posed = self.parts.poser.pose_procedurally(step.number, num_problems)
        else:
            step.posed = self.parts.poser.pose(step.number, step.proposed, self.parts.style, num_problems)

    def solve(self, step: Step) -> list[JudgedGroup]:
        """Attempts at every problem, each with its second look, and a verdict on every turn."""
        assert step.posed is not None
        base = self.parts.solver.group_size
        asked: list[tuple[Problem, int]] = [(problem, base) for problem in step.posed.new]
        asked += [(replay.problem, base * replay.group_multiplier) for replay in step.posed.replays]
        roles = (attempt(p, self.parts.style, self.parts.solver, step.number, size) for p, size in asked)
        with step.timed("solve"):
            solved = self._rollout(step, self.parts.solver_engine).run("solver", roles)
        reach("loop.rolled_out")
        return self._judged(step, solved)

    def _judged(self, step: Step, solved: Sequence[SolvedGroup]) -> list[JudgedGroup]:
        """By the domain's verifier, or by the model itself; then canaries say now and then how easily it is fooled."""
        parts, number = self.parts, step.number
        if parts.config.judge.source == "verifier":
            return [judge_group(group, parts.style, parts.judge, number) for group in solved]
        asking = ModelJudgeSettings()
        rollout = self._rollout(step, parts.engine)
        roles = [judge_by_model(group, parts.style, asking, parts.judge, number) for group in solved]
        with step.timed("judge"):
            found = rollout.run("verdict", roles)
            if number == 1 or number % parts.config.evaluate.every == 0:
                problems = [group.problem for group in solved[:CANARY_PROBLEMS]]
                counts = rollout.run("canary", (canary_requests(each, parts.style, asking) for each in problems))
                step.canaries = total(counts)
        return found

    def search(self, step: Step, judged: Sequence[JudgedGroup]) -> None:
        """Where the configuration says so, the judge looks further into what the attempts began."""
        searcher = self.parts.searcher
        if searcher is None:
            return
        roles = [searcher.role(group, step.tree, step.number) for group in judged if searcher.wants(group)]
        with step.timed("search"):
            found = self._rollout(step, self.parts.solver_engine).run("judge", roles)
        step.searched = {each.problem.problem_id: each for each in found}

    def learn(self, step: Step, judged: Sequence[JudgedGroup]) -> TrainBatch:
        """Rewards and advantages for every turn and every proposal, summed over the tree."""
        assert step.posed is not None
        tracker, settings, fates = self.parts.tracker, self.parts.learning, step.posed.fates
        pay = report_pay(settings.report_reward, judged)
        step.lessons = [solver_lesson(g, self._is_banked(g), tracker.second_look_rate, settings, pay) for g in judged]
        imitation: ImitationRule = self.parts.config.train.imitation  # type: ignore[assignment]
        if imitation != "none":
            step.lessons = [replace(each, samples=self._imitated(step, each.group, imitation)) for each in step.lessons]
        elif self.parts.searcher is not None and self.parts.searcher.credit is not None:
            credit = self.parts.searcher.credit
            step.lessons = [self._credited(step, each, credit) for each in step.lessons]
        rates = {group.problem.problem_id: measured_rate(group) for group in judged}
        step.rewards = {
            key: proposal_reward(fate, rates.get(problem_id) if problem_id else None, settings)
            for key, (fate, problem_id) in fates.items()
        }
        samples = [sample for lesson in step.lessons for sample in lesson.samples]
        samples += challenger_samples(
            step.proposed, step.rewards, fates, settings.advantage, settings.invalid_reward, settings.held
        )
        step.stage = stage_after(self.stage_facts, self.parts.stage_one)
        objective = self.parts.objectives[step.stage]
        return build_batch(step.tree, samples, objective.weights, objective.kl)

    def _imitated(self, step: Step, group: JudgedGroup, rule: ImitationRule) -> tuple[TrainSample, ...]:
        if rule != "best_path":
            return imitated(step.tree, group, rule, self.parts.encode)
        found = step.searched.get(group.problem.problem_id)
        return () if found is None else tuple(best_path(found))  # what was not searched teaches nothing

    def _credited(self, step: Step, lesson: SolverLesson, credit: CreditSettings) -> SolverLesson:
        """First tries paid step by step, where the problem was searched."""
        found = step.searched.get(lesson.group.problem.problem_id)
        if found is None:
            return lesson
        paid = credited(found, credit, self._is_banked(lesson.group), self.parts.learning.held)
        later = [sample for sample in lesson.samples if sample.label != turn_label(0)]
        return replace(lesson, samples=(*paid, *later))

    def _is_banked(self, group: JudgedGroup) -> bool:
        """As the tracker will decide it when it sees the step."""
        problem_id, tracker = group.problem.problem_id, self.parts.tracker
        is_retry = tracker.knows(problem_id) and tracker.banked_step(problem_id) is not None
        successes = sum(attempt.turns[0].is_right for attempt in group.first_tries)
        return is_banked(successes, self.parts.poser.settings.min_successes, is_retry)

    def update(self, step: Step, batch: TrainBatch) -> tuple[Update, tuple[str, str]]:
        """The journal first, then the update in memory. Returns the journal's (file, sha256) too."""
        judged = self._critic_batch(step)
        arrays = batch.arrays() | ({} if judged is None else judged.arrays())
        self.store.require_own_files()  # or the journal would be written into another run's folder
        journal = write_journal(self.folder / JOURNAL_FOLDER, StepJournal(step.number, arrays))
        with step.timed("update"):
            self._end_sampling(KEPT_FOR_UPDATES)
            update = self.parts.trainer.step(batch, judged)
            release_freed_memory(beyond=KEPT_FOR_UPDATES)  # now, or sampling adds to it
        for engine in self._engines():
            engine.load(engine_version(engine, self.parts))
        reach("loop.updated")
        return update, journal

    def _critic_batch(self, step: Step) -> CriticBatch | None:
        """What the trees of this step teach the critic heads."""
        if self.parts.searcher is None or self.parts.trainer.critic is None:
            return None
        return critic_batch(step.tree, self.parts.searcher.critic_rows(step.searched.values()))

    def commit(self, step: Step, update: Update, journal: tuple[str, str]) -> None:
        """Everything the step said and learned, in one transaction; then the curriculum sees it."""
        engines = self._engines()
        tokens = {
            "tokens/computed": sum(e.tokens.computed for e in engines) - step.computed + update.tokens_computed,
            "tokens/flat": sum(e.tokens.flat for e in engines) - step.flat + update.tokens_flat,
        }
        peak = device_peak_bytes(self.parts.policy.device)
        on_device = {} if peak is None else {DEVICE_PEAK: peak}
        commit = record.step_commit(
            step,
            update.metrics | {k: float(v) for k, v in (tokens | on_device).items()},
            self.parts, journal, seconds=max(0.0, time.monotonic() - step.started),  # a clock may go back
        )  # fmt: skip
        self.parts.tracker.observe(record.history(commit))
        row = self.store.commit_step(replace(commit, standings=record.standings(commit, self.parts.tracker)))
        reach("loop.committed")
        self.note_use()
        self.snapshot_step = keep(self.store, self.parts.tracker, self.snapshot_step)
        if len(self.stage_facts) < self.parts.stage_one.max_steps:
            self.stage_facts.append(stage_facts(row.metrics))
        metrics_file.append(self.folder / METRICS, metrics_file.step_line(row))
        self.watcher.step_done(row, [lesson.group for lesson in step.lessons], self.parts.tracker.frontier())

    def evaluate(self) -> None:
        """The evaluations that are due at the head and not yet stored: full at the ends, interim in between."""
        head, config = self.store.head().step, self.parts.config
        kind = "full" if head in (0, config.run.steps) else "interim"
        if kind == "interim" and head % config.evaluate.every:
            return
        past = self.store.evaluations()
        done = {(e.set_name, e.kind) for e in past if e.step == head}
        start = {e.set_name: e.outcomes for e in past if e.step == 0}
        due = [name for name in self.parts.evaluator.sets if (name, kind) not in done]
        if kind == "full":
            self.parts.trainer.end_updates()  # half a gigabyte that an evaluation has no use for
        self._end_sampling()
        for name in self.watcher.evaluating(head, kind, due):
            started = time.monotonic()
            evaluator = self.parts.evaluator
            found = evaluator.full(head, name) if kind == "full" else evaluator.interim(head, name)
            alarm = first_try_alarm(start[name], found.outcomes) if name in start and head > 0 else {}
            timed = dict(found.metrics) | alarm | {"seconds": round(time.monotonic() - started, 3)}
            evaluation = self.store.commit_evaluation(replace(found, metrics=timed))
            self.note_use()
            metrics_file.append(self.folder / METRICS, metrics_file.evaluation_line(evaluation))
            self.watcher.evaluated(evaluation)
            self._end_sampling()

    def note_use(self) -> None:
        """How long this process has worked and what memory it took: a kill loses what came after the last call."""
        with suppress(DiskFull):  # two figures are not worth a run: its next commit meets the full disk itself
            self.store.note_use(time.monotonic() - self.started, peak_bytes())
        self.worked()

    def checkpoint(self) -> None:
        """When one is due. A full disk costs the checkpoint, not the run: the journal still has everything."""
        head, config = self.store.head(), self.parts.config.run
        is_due = head.step % config.checkpoint_every == 0 or head.step >= config.steps
        if head.step == 0 or not is_due or any(row.step == head.step for row in self.store.checkpoints()):
            return
        try:
            self.checkpoints.save(self.store, head, self.parts.trainer, self.parts.policy)
        except DiskFull as error:
            self.watcher.note(f"no checkpoint at step {head.step}: {error}")
            return
        finally:
            release_freed_memory()
        self._prune()

    def _prune(self) -> None:
        """Drop journals behind the oldest kept checkpoint: rows first, then files."""
        oldest = min(row.step for row in self.store.checkpoints())
        for name in self.store.prune_journal(oldest):
            with suppress(OSError):  # what cannot be deleted now is tidied up by a resume
                (self.folder / JOURNAL_FOLDER / Path(name).name).unlink(missing_ok=True)
            reach("prune.files")
        self.store.checkpoint_wal()

    def _rollout(self, step: Step, engine: Engine) -> Rollout:
        encode, score, limit = self.parts.encode, self.parts.scorer, self.parts.room.limit
        return Rollout(step.number, step.tree, engine, encode, self.store.commit_wave, step.stored, score, limit)

    def _end_sampling(self, kept: int = 0) -> None:
        """Sampling's blocks are not an update's, nor those of the next evaluation: kept, they would add up.

        Up to `kept` bytes that nothing uses may stay.
        """
        for engine in self._engines():
            engine.end_sampling()
        release_freed_memory(beyond=kept)

    def _engines(self) -> list[Engine]:
        parts = self.parts
        known = (parts.engine, parts.challenger_engine, parts.solver_engine, parts.evaluator.start_engine)
        return list({id(engine): engine for engine in known if engine is not None}.values())


def engine_version(engine: Engine, parts: Parts) -> int:
    """The policy version an engine is to serve: the frozen control's stays at the start."""
    return parts.policy.version if engine is parts.engine else 0


def seed_problems(parts: Parts) -> list[Problem]:
    """The domain's seeds as problems of step 0."""
    return [problem_of(s, parts.domain.name, Origin.SEED) for s in parts.domain.seeds()]


@contextmanager
def stopping_on_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step; a second one ends it at once."""

    def stop(number: int, _: Any) -> None:
        if run.is_stopping:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        run.is_stopping, run.signal_number = True, number
        run.watcher.note("stopping after this step; once more to stop at once (nothing committed is lost either way)")

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, stop))
        yield
