"""One open run: what the phases of the loop do to the store, the folder and the model.

What is played and what is learned are values, made by selfplay/play/game.py and selfplay/learn/teacher.py. Here are the
effects: the journal, the update, the one transaction of a step, evaluations and checkpoints.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.folding import keep
from roles.experience import Experienced
from roles.skills.sets import SkillSets
from roles.tree import Tree
from selfplay.engine.voices import Voices
from selfplay.evaluation.alarms import first_try_alarm
from selfplay.evaluation.evaluator import Evaluator
from selfplay.guards.recheck import Rechecker
from selfplay.guards.watch import Watch
from selfplay.learn.batch import TrainBatch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.learn.stages import StageFacts, stage_facts
from selfplay.learn.teacher import Taught, Teacher
from selfplay.machine.memory import device_peak_bytes, peak_bytes, release_freed_memory
from selfplay.machine.run_folder import JOURNAL_FOLDER, METRICS
from selfplay.metrics import ALARMS_OPEN, DEVICE_PEAK, EVALUATION_SECONDS, TOKENS_COMPUTED, TOKENS_FLAT
from selfplay.model.policy import Policy
from selfplay.play.game import Game
from selfplay.play.skills import Skilled
from selfplay.play.step import Judged, Played, Posed, Proposed, Searches, Step
from selfplay.run import metrics_file, record
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.versions.picking import Picker, line_of
from selfplay.run.versions.skill_picking import SkillPicker
from selfplay.run.watch import Watcher
from selfplay.trackers.lines import evaluation_line, pick_line, step_line
from selfplay.trackers.reporting import Reporting
from selfplay.train.trainer import Trainer, Update
from store.errors import DiskFull
from store.journal import StepJournal, write_journal
from store.kill_points import reach
from store.records import Evaluation, Incarnation, ProbeKind, Problem, Side
from store.store import Store


@dataclass(frozen=True, slots=True)
class StartFacts:
    """Evaluations of a run's start model, and the process that made them. Whoever hands them to another run vouches for
    its model, sets and keys of evaluation being the same."""

    run_name: str
    incarnation: Incarnation
    evaluations: Sequence[Evaluation]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many steps a run has, and after how many of them it evaluates and saves. `merge`: samples that say the same
    share their nodes of the tree. `kept_bytes`: of memory that nothing uses, from one update for the next."""

    steps: int
    evaluate_every: int
    checkpoint_every: int
    merge: bool = True
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """An update that was made, and its journal: (file, sha256)."""

    update: Update
    journal: tuple[str, str]


@dataclass(slots=True)
class Run:
    """Made by selfplay/run/opening.py; the loop itself is selfplay/loop.py."""

    schedule: Schedule
    game: Game
    teacher: Teacher
    trainer: Trainer
    evaluator: Evaluator
    guards: Watch
    rechecker: Rechecker
    picker: Picker
    skill_picker: SkillPicker | None
    policy: Policy
    tracker: Tracker
    store: Store
    folder: Path
    checkpoints: Checkpoints
    watcher: Watcher
    reporting: Reporting
    started: float  # the process, as far as it is known, on the clock of time.monotonic()
    worked: Callable[[], None] = lambda: None  # told whenever something was stored
    snapshot_step: int = -1  # of the newest snapshot of the curriculum
    is_stopping: bool = False  # set by a signal: the run ends after the step
    signal_number: int = 0
    skills: SkillSets = field(default_factory=SkillSets)  # as of the head
    left_out: dict[Side, int] = field(default_factory=dict)  # skills that found no room in the last step
    stage_facts: list[StageFacts] = field(default_factory=list)  # of as many first steps as stage I may have

    @property
    def voices(self) -> Voices:
        return self.game.voices

    def steps(self) -> Iterator[Step]:
        """The steps that are left. Between steps nothing is unfinished, so a stop here loses nothing."""
        while (number := self.store.head().step + 1) <= self.schedule.steps and not self.is_stopping:
            self.watcher.step_begins(number)
            yield Step(
                number=number,
                policy_version=self.policy.version,
                tree=Tree(merge=self.schedule.merge),
                stored=self.store.pending_waves(number),
                commit_wave=self.store.commit_wave,
                started=time.monotonic(),
            )

    def write_skills(self, step: Step) -> Skilled:
        """The sets that the step shows, after a round of writing where one is due."""
        settings = self.game.skills
        if settings is None or not settings.is_due(step.number):
            return Skilled(self.skills)
        tries = self.store.tries(step.number - settings.every, step.number - 1)
        skilled = self.game.write_skills(step, self.skills, tries)
        if self.skill_picker is None:
            return skilled
        hard, easy = (
            [self.tracker.problem(each) for each in self.picker.sets.of(kind)]
            for kind in (ProbeKind.HARD, ProbeKind.EASY)
        )
        with step.timed("skills"):
            return self.skill_picker.picked(self.skills, skilled, hard, easy, step.number)

    def propose(self, step: Step, skilled: Skilled) -> Proposed:
        return self.game.propose(step, skilled)

    def pose(self, step: Step, proposed: Proposed) -> Posed:
        return self.game.pose(step, proposed)

    def solve(self, step: Step, posed: Posed, skilled: Skilled) -> Judged:
        return self.game.solve(step, posed, skilled)

    def search(self, step: Step, judged: Judged) -> Searches:
        return self.game.search(step, judged)

    def explore(self, step: Step, judged: Judged) -> tuple[Experienced, ...]:
        return self.game.explore(step, judged)

    def teach(self, step: Step, played: Played) -> Taught:
        return self.teacher.teach(step.tree, played, self.stage_facts, step.number)

    def update(self, step: Step, taught: Taught) -> Written:
        """The journal first, then the update in memory."""
        critic = taught.critic_batch
        arrays = taught.batch.arrays() | ({} if critic is None else critic.arrays())
        self.store.require_own_files()  # or the journal would be written into another run's folder
        journal = write_journal(self.folder / JOURNAL_FOLDER, StepJournal(step.number, arrays))
        with step.timed("update"):
            update = self.train(taught.batch, critic)
        self.voices.serve(self.policy.version)
        reach("loop.updated")
        return Written(update, journal)

    def train(self, batch: TrainBatch, critic: CriticBatch | None) -> Update:
        """The update in memory."""
        self._end_sampling(self.schedule.kept_bytes)
        update = self.trainer.step(batch, critic)
        release_freed_memory(beyond=self.schedule.kept_bytes)  # now, or sampling adds to it
        return update

    def commit(self, step: Step, played: Played, taught: Taught, written: Written) -> None:
        """Looks at what was said and paid, and stores all of the step, what the curriculum makes of it too, in one
        transaction."""
        update, peak = written.update, device_peak_bytes(self.policy.device)
        look = self.guards.look(played)
        disagreements, rechecked = self.rechecker.check(taught.lessons, step.number)
        figures: dict[str, float] = {
            TOKENS_COMPUTED: float(step.count.computed + update.tokens_computed),
            TOKENS_FLAT: float(step.count.flat + update.tokens_flat),
        }
        figures |= {**look.figures, **rechecked}
        commit = record.step_commit(
            step,
            played,
            taught,
            record.Made(self.policy.version, self.trainer.digest(), written.journal),
            self.game,
            update.metrics | figures | ({} if peak is None else {DEVICE_PEAK: float(peak)}),
            seconds=max(0.0, time.monotonic() - step.started),  # a clock may go back
        )
        foretold = record.foretold(commit, self.tracker)
        told = record.forecast_metrics(commit, foretold)
        alarms = self.guards.see(step.number, commit.metrics, look.details)
        measured = dict(commit.metrics) | told | {ALARMS_OPEN: float(len(self.guards.opened))}
        self.tracker.observe(record.history(commit))
        standings = record.standings(commit, self.tracker)
        probes = self.picker.sets.taken(step.number, commit.pass_rates, self.tracker)
        row = self.store.commit_step(
            replace(
                commit,
                metrics=measured,
                standings=standings,
                alarms=alarms,
                disagreements=disagreements,
                probes=probes,
                foretold=foretold,
            )
        )
        self.picker.sets.add(probes)
        if self.game.poser.rescuer is not None:
            self.game.poser.rescuer.add(step.number, commit.rescues)
        reach("loop.committed")
        self.skills = played.skilled.sets
        self._say_skills(step, played.skilled)
        self.note_use()
        self.snapshot_step = keep(self.store, self.tracker, self.snapshot_step)
        if len(self.stage_facts) < self.teacher.settings.stage_one.max_steps:
            self.stage_facts.append(stage_facts(row.metrics))
        metrics_file.append(self.folder / METRICS, step_line(row))
        self.reporting.stored()
        self.watcher.step_done(row, played.judged.groups, self.tracker.frontier())
        for alarm in alarms:
            self.watcher.alarmed(alarm)

    def _say_skills(self, step: Step, skilled: Skilled) -> None:
        """One line for each set that was written, and one where other skills than before find no room."""
        for each in skilled.rounds:
            if each.written is not None:
                names = ", ".join(skill.name for skill in each.written.skills)
                self.watcher.note(f"skills    {each.side.value.lower()} version {each.written.version}: {names}")
        for pick in skilled.picks:
            if pick.used_as is not None:
                self.watcher.note(
                    f"skills    the solver shows version {pick.version}, of {len(skilled.picks)} compared: it solves "
                    f"{pick.hard_solved}/{pick.hard} hard and {pick.easy_solved}/{pick.easy} easy probes"
                )
        left_out = {side: shown.left_out for side, shown in step.shown.items()}
        for side, number in left_out.items():
            if number and number != self.left_out.get(side, 0):
                self.watcher.note(
                    f"skills    step {step.number}: the {number} oldest of the {side.value.lower()}'s are not shown: a "
                    "conversation would not fit into the model with them (skills.most, skills.tokens)"
                )
        self.left_out = left_out

    def adopt(self, known: Sequence[StartFacts]) -> None:
        """Store another run's evaluations of the start model as this run's, where it would find the same bits: the same
        code has made them in the same environment. What is stored already stays."""
        if self.store.head().step > 0 or self.store.evaluations():
            return
        now = self.store.incarnations()[-1]
        for facts in known:
            made = facts.incarnation
            if (made.fingerprint, made.code_digest) == (now.fingerprint, now.code_digest):
                for evaluation in facts.evaluations:
                    stored = self.store.commit_evaluation(evaluation)
                    metrics_file.append(self.folder / METRICS, evaluation_line(stored))
                self.watcher.note(f"the start model was evaluated by {facts.run_name}")
                return

    def evaluate(self) -> None:
        """The evaluations that are due at the head and not yet stored: full at the ends, interim in between."""
        head = self.store.head().step
        kind = "full" if head in (0, self.schedule.steps) else "interim"
        if kind == "interim" and head % self.schedule.evaluate_every:
            return
        past = self.store.evaluations()
        done = {(e.set_name, e.kind) for e in past if e.step == head}
        start = {e.set_name: e.outcomes for e in past if e.step == 0}
        due = [name for name in self.evaluator.sets if (name, kind) not in done]
        if kind == "full":
            self.trainer.end_updates()  # half a gigabyte that an evaluation has no use for
        self._end_sampling()
        for name in self.watcher.evaluating(head, kind, due):
            started = time.monotonic()
            evaluator = self._evaluator(self.evaluator.sets[name])
            found = evaluator.full(head, name) if kind == "full" else evaluator.interim(head, name)
            alarm = first_try_alarm(start[name], found.outcomes) if name in start and head > 0 else {}
            timed = dict(found.metrics) | alarm | {EVALUATION_SECONDS: round(time.monotonic() - started, 3)}
            evaluation = self.store.commit_evaluation(replace(found, metrics=timed))
            self.note_use()
            metrics_file.append(self.folder / METRICS, evaluation_line(evaluation))
            self.reporting.stored()
            self.watcher.evaluated(evaluation)
            self._end_sampling()

    def _evaluator(self, problems: Sequence[Problem]) -> Evaluator:
        """Asks as the solver is asked in a step, with its skills, where evaluations show them."""
        skills = self.skills.solver.skills
        if not self.evaluator.shows_skills or not skills:
            return self.evaluator
        return self.evaluator.showing(self.game.fitting(Side.SOLVER, skills, problems))

    def note_use(self) -> None:
        """How long this process has worked and what memory it took: a kill loses what came after the last call."""
        with suppress(DiskFull):  # two figures are not worth a run: its next commit meets the full disk itself
            self.store.note_use(time.monotonic() - self.started, peak_bytes())
        self.worked()

    def checkpoint(self) -> None:
        """When one is due; then the kept ones are compared, and perhaps the run goes back to an older one."""
        head, schedule = self.store.head(), self.schedule
        is_due = head.step % schedule.checkpoint_every == 0 or head.step >= schedule.steps
        if head.step == 0 or not is_due:
            return
        is_saved = self._save()
        if self._pick() or is_saved:
            self._prune()

    def _save(self) -> bool:
        """Whether the head has a checkpoint now that had none. A full disk costs the checkpoint, not the run: the
        journal still has everything. A run that went back has no weights of the head's any more."""
        head = self.store.head()
        picked = [pick for pick in self.store.picks() if pick.step == head.step]
        if any(row.step == head.step for row in self.store.checkpoints()) or any(each.is_rollback for each in picked):
            return False
        try:
            self.checkpoints.save(self.store, head, self.trainer, self.policy)
        except DiskFull as error:
            self.watcher.note(f"no checkpoint at step {head.step}: {error}")
            return False
        finally:
            release_freed_memory()
        return True

    def _pick(self) -> bool:
        """Whether the kept checkpoints were compared now."""
        is_last = self.store.head().step >= self.schedule.steps
        found = self.picker.pick(self.store, self.checkpoints, self.guards.opened, is_last)
        if found is None:
            return False
        pick, alarms = found
        self.note_use()
        self.guards.hear(pick.step, alarms)
        metrics_file.append(self.folder / METRICS, pick_line(pick))
        self.reporting.stored()
        self.watcher.note(f"          probes: {line_of(pick)}")
        for alarm in alarms:
            self.watcher.alarmed(alarm)
        if pick.is_rollback:
            self.watcher.note(
                f"went back after step {pick.step} to the weights of step {pick.best_step}: they are version "
                f"{pick.policy_version} from now on, and what was posed and tried since stays known"
            )
        release_freed_memory()
        return True

    def _prune(self) -> None:
        """Drop journals behind the oldest of the newest checkpoints: rows first, then files."""
        oldest = min((row.step for row in self.checkpoints.newest(self.store)), default=0)
        for name in self.store.prune_journal(oldest):
            with suppress(OSError):  # what cannot be deleted now is tidied up by a resume
                (self.folder / JOURNAL_FOLDER / Path(name).name).unlink(missing_ok=True)
            reach("prune.files")
        self.store.checkpoint_wal()

    def _end_sampling(self, kept: int = 0) -> None:
        """Gives up the memory of sampling, whose blocks are of no use to an update or to the next evaluation.

        Up to `kept` bytes that nothing uses may stay.
        """
        self.voices.end_sampling()
        release_freed_memory(beyond=kept)


@contextmanager
def stopping_on_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step; a second one ends it at once.

    Outside the main thread of a process, which alone may have handlers, they do what they did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

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
