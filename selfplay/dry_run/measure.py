"""One real step of a run, in a folder that goes again: what it took of time, memory, tokens and disk.

It is a run of one step as it would be, from the start model's evaluation to the checkpoint. Only the evaluations ask
a sample of each set, as large as a few seconds allow. At the end the update is made once more, for its memory.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from roles.judging.groups import JudgedGroup
from selfplay.config.keys import Config
from selfplay.config.task import Task
from selfplay.dry_run.estimate import Evaluations, Measured, Memory, Storage
from selfplay.evaluation.evaluator import Evaluator, batches
from selfplay.learn.batch import TrainBatch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.machine.memory import device_peak_bytes, peak_bytes, restart_peak
from selfplay.machine.run_folder import DATABASE, JOURNAL_FOLDER, METRICS
from selfplay.metrics import EVALUATION_SECONDS, MEAN_LENGTH, PHASE_SECONDS, TOKENS_COMPUTED, TOKENS_FLAT, TRAINED
from selfplay.play.step import Step
from selfplay.run.opening import open_run
from selfplay.run.session import Run
from store.journal import read_journal
from store.records import Alarm, Evaluation, Problem, StepRow

SAMPLE_SIZES = (8, 32, 128)  # problems of a set: two sizes tell apart what a batch takes and what each problem adds
SAMPLE_SECONDS = 6.0  # of all sets' first tries and second looks, about, where larger samples than the second are taken
_PHASE = PHASE_SECONDS.format(phase="")

Play = Callable[[Run, Step], None]  # plays, trains and commits a step


@dataclass(slots=True)
class Heard:
    """A watcher of one step, of which nobody sees the figures. `say` gets the lines, but not those about the folder
    that goes again, `hidden`."""

    say: Callable[[str], None]
    hidden: str = ""
    lines: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        if not self.hidden or self.hidden not in line:
            self.lines.append(line)
            self.say(line)

    def running(self, head: int) -> AbstractContextManager[None]:
        return nullcontext()

    def step_begins(self, number: int) -> None: ...

    def step_done(self, row: StepRow, groups: Sequence[JudgedGroup], frontier: int) -> None: ...

    def alarmed(self, alarm: Alarm) -> None: ...

    def evaluating(self, step: int, kind: str, names: Sequence[str]) -> Iterator[str]:
        yield from names

    def evaluated(self, evaluation: Evaluation) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sample:
    """The first `problems` of the `size` of a set. A full evaluation samples `pass_size` of them for pass@k, which is
    the same part of what it would be. `fixed` is the share of its seconds that a batch takes however small it is."""

    name: str
    problems: Sequence[Problem]
    size: int
    pass_size: int
    fixed: float

    def scale(self, evaluator: Evaluator, most: int) -> float:
        """By how much longer the whole set takes, or its first `most` problems."""
        whole, asked = min(most, self.size), min(most, len(self.problems))
        many = len(batches(whole, evaluator.interim_size)) / len(batches(asked, evaluator.interim_size))
        return self.fixed * many + (1 - self.fixed) * whole / asked


@dataclass(frozen=True, slots=True)
class _Start:
    """Before the step. `full_seconds`: of an evaluation of the start model; `empty_bytes` are the database's without
    it, `evaluated_bytes` with it."""

    samples: Sequence[_Sample]
    full_seconds: float
    empty_bytes: int
    evaluated_bytes: int


@dataclass(frozen=True, slots=True)
class _OneStep:
    """The step. `database_bytes` and `log_bytes` are what it added."""

    seconds: float
    peak_bytes: int
    database_bytes: int
    log_bytes: int
    journal_bytes: int


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """Evaluations after the step; `interim_seconds` is None where the run has no interim ones."""

    full_seconds: float
    interim_seconds: float | None
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class _Saved:
    """A checkpoint: as it was written, or its size as computed and None seconds where there was no room for one."""

    seconds: float | None
    size: int
    peak_bytes: int


def measure(config: Config, task: Task | None, play: Play, place: Path, watcher: Heard, started: float) -> Measured:
    """`place`: an empty folder, for all that the run writes. `started`: on the clock of time.monotonic()."""
    watcher.hidden = str(place)
    unreported = replace(config.logging, report_to=[])
    moved = replace(config, run=replace(config.run, dir=str(place)), logging=unreported)
    with open_run(moved, False, watcher, started, task, lambda run: nullcontext()) as run:
        start_seconds, loading_peak = time.monotonic() - started, peak_bytes()
        run.schedule = replace(run.schedule, steps=1)
        start = _start(run, watcher.say)
        played = _play(run, play, start, watcher.say)
        evaluated = _evaluate_again(run, start.samples, config.run.steps > config.evaluate.every)
        saved = _save(run)
        row = run.store.step(1)
        step_peak = max(played.peak_bytes, _peak_of_training_again(run, row))
        return Measured(
            trained_parameters=sum(p.numel() for _, p in run.policy.trainable),
            all_parameters=sum(p.numel() for p in run.policy.model.parameters()),
            start_seconds=start_seconds,
            step_seconds=played.seconds,
            phase_seconds=_phases(row, played.seconds),
            tokens_computed=int(row.metrics[TOKENS_COMPUTED]),
            tokens_flat=int(row.metrics[TOKENS_FLAT]),
            trained_groups=int(row.metrics[TRAINED]),
            answer_tokens=row.metrics[MEAN_LENGTH],
            memory=Memory(
                loading_bytes=loading_peak,
                step_bytes=step_peak,
                evaluation_bytes=evaluated.peak_bytes,
                checkpoint_bytes=saved.peak_bytes,
                device_bytes=device_peak_bytes(run.policy.device),
            ),
            storage=_storage(start, played, saved),
            evaluations=_evaluations(start, evaluated),
            checkpoint_seconds=saved.seconds,
        )


def _start(run: Run, say: Callable[[str], None]) -> _Start:
    if run.evaluator.sets:
        say("evaluating a sample of the held-out problems ...")
    samples = list(_samples(run.evaluator))
    empty = _database_bytes(run)
    seconds = _full_seconds(run, samples)
    return _Start(samples, seconds, empty, _database_bytes(run))


def _play(run: Run, play: Play, start: _Start, say: Callable[[str], None]) -> _OneStep:
    say("playing and training one step ...")
    restart_peak()
    log, begun = _size(run.folder / METRICS), time.monotonic()
    for step in run.steps():
        play(run, step)
    seconds, peak = time.monotonic() - begun, peak_bytes()
    (journal,) = (run.folder / JOURNAL_FOLDER).iterdir()
    return _OneStep(
        seconds=seconds,
        peak_bytes=peak,
        database_bytes=max(0, _database_bytes(run) - start.evaluated_bytes),
        log_bytes=_size(run.folder / METRICS) - log,
        journal_bytes=_size(journal),
    )


def _evaluate_again(run: Run, samples: Sequence[_Sample], has_interim: bool) -> _Evaluated:
    restart_peak()
    full = _full_seconds(run, samples)
    interim = _interim_seconds(run, samples) if has_interim else None
    return _Evaluated(full, interim, peak_bytes())


def _save(run: Run) -> _Saved:
    restart_peak()
    begun = time.monotonic()
    run.checkpoint()
    seconds, peak = time.monotonic() - begun, peak_bytes()
    rows = run.store.checkpoints()
    if not rows:
        return _Saved(None, run.checkpoints.expected_bytes(run.trainer, run.policy), peak)
    return _Saved(seconds, _folder_bytes(run.folder / rows[0].path), peak)


def _peak_of_training_again(run: Run, row: StepRow) -> int:
    """Of the step's update once more, from its journal: later updates hold Adam's moments from their beginning, while
    the first makes them at its end, when all else of it is freed."""
    assert row.journal_file is not None and row.journal_sha256 is not None, "the step was stored just now"
    restart_peak()
    arrays = read_journal(run.folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256).arrays
    run.train(TrainBatch.from_arrays(arrays), CriticBatch.from_arrays(arrays))
    return peak_bytes()


def _phases(row: StepRow, seconds: float) -> dict[str, float]:
    phases = {name.removeprefix(_PHASE): value for name, value in row.metrics.items() if name.startswith(_PHASE)}
    return phases | {"other": max(0.0, seconds - sum(phases.values()))}


def _storage(start: _Start, played: _OneStep, saved: _Saved) -> Storage:
    return Storage(
        checkpoint_bytes=saved.size,
        journal_bytes=played.journal_bytes,
        database_bytes=start.empty_bytes,
        step_bytes=played.database_bytes,
        evaluation_bytes=(start.evaluated_bytes - start.empty_bytes) / max(1, len(start.samples)),
        log_bytes=played.log_bytes,
    )


def _evaluations(start: _Start, evaluated: _Evaluated) -> Evaluations:
    return Evaluations(
        sets=len(start.samples),
        problems=sum(each.size for each in start.samples),
        sampled=sum(len(each.problems) for each in start.samples),
        full_seconds=(start.full_seconds, evaluated.full_seconds),
        interim_seconds=evaluated.interim_seconds,
    )


def _samples(evaluator: Evaluator) -> Iterator[_Sample]:
    """Of each set that is not empty as many problems as its part of the time allows."""
    sets = {name: problems for name, problems in evaluator.sets.items() if problems}
    for problems in [*sets.values()][:1]:
        evaluator.greedy(problems[: SAMPLE_SIZES[0]], evaluator.turns, step=0)  # the first pass of all is a slow one
    for name, problems in sets.items():
        size, fixed = _sample_size(evaluator, problems, SAMPLE_SECONDS / len(sets))
        pass_size = max(1, round(size / len(problems) * min(evaluator.pass_size, len(problems))))
        yield _Sample(name, problems[:size], len(problems), pass_size, fixed)


def _sample_size(evaluator: Evaluator, problems: Sequence[Problem], allowed: float) -> tuple[int, float]:
    """How many problems to ask, and the share of their seconds that does not depend on how many there are."""
    took: list[tuple[int, float]] = []
    for number, size in enumerate(SAMPLE_SIZES):
        if len(problems) <= size or (number > 1 and took[-1][1] * size > allowed * took[-1][0]):
            break
        begun = time.monotonic()
        evaluator.greedy(problems[:size], evaluator.turns, step=0)
        took.append((size, time.monotonic() - begun))
    if len(took) < 2:
        return len(problems), 0.0
    (few, short), (many, long) = took[-2:]
    each = max(0.0, (long - short) / (many - few))
    return many, min(1.0, max(0.0, 1 - each * many / long))


def _full_seconds(run: Run, samples: Sequence[_Sample]) -> float:
    """Makes the full evaluation that is due, of the samples. Returns the seconds that whole sets would take."""
    return _scaled_seconds(run, samples, "full", {each.name: each.scale(run.evaluator, each.size) for each in samples})


def _interim_seconds(run: Run, samples: Sequence[_Sample]) -> float:
    """Makes an interim evaluation as well, of the samples, as if a step were to come."""
    schedule, most = run.schedule, run.evaluator.interim_size
    run.schedule = replace(schedule, steps=2, evaluate_every=1)
    seconds = _scaled_seconds(run, samples, "interim", {each.name: each.scale(run.evaluator, most) for each in samples})
    run.schedule = schedule
    return seconds


def _scaled_seconds(run: Run, samples: Sequence[_Sample], kind: str, scales: Mapping[str, float]) -> float:
    evaluator = run.evaluator
    for each in samples:
        run.evaluator = replace(evaluator, sets={each.name: each.problems}, pass_size=each.pass_size)
        run.evaluate()
    run.evaluator = evaluator
    head = run.store.head().step
    found = [each for each in run.store.evaluations() if (each.step, each.kind) == (head, kind)]
    return sum(scales[each.set_name] * each.metrics[EVALUATION_SECONDS] for each in found)


def _database_bytes(run: Run) -> int:
    run.store.checkpoint_wal()
    return _size(run.folder / DATABASE)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _folder_bytes(folder: Path) -> int:
    return sum(_size(path) for path in folder.rglob("*"))
