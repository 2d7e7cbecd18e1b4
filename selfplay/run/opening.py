"""Opens a run: a new folder, or an old one brought back to where it stopped."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from curriculum.tracking.folding import fold, keep
from roles.skills.sets import folded
from selfplay.config import files as configuration
from selfplay.config.checking import idle
from selfplay.config.keys import Config
from selfplay.config.resuming import resume_command
from selfplay.config.task import Task
from selfplay.guards.rules import WATCHED_STEPS
from selfplay.learn.stages import stage_facts
from selfplay.machine.environment import code_digest, fingerprint
from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.memory import keep_freed_memory
from selfplay.machine.run_folder import (
    CHECKPOINT_FOLDER,
    CONFIG,
    DATABASE,
    JOURNAL_FOLDER,
    METRICS,
    Lock,
    Say,
    claim_folder,
    is_unbegun,
    lock,
    require_database,
    set_unbegun_aside,
    usable,
    write_file,
)
from selfplay.run import metrics_file
from selfplay.run.build import Parts, build, seed_problems
from selfplay.run.build_learning import mask_of
from selfplay.run.build_model import dtype_of
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.recovery import recover
from selfplay.run.session import Run, stopping_on_signals
from selfplay.run.watch import Watcher
from selfplay.trackers.choosing import TrackerName, opener, require_installed
from selfplay.trackers.reporting import Reporting
from selfplay.trackers.sink import RunFacts, Sink
from store.errors import StoreError
from store.records import Origin, Problem
from store.store import Store

_PATIENCE_AFTER_FAILURES = 5.0  # seconds that a run which ends by an error waits for its trackers


@contextmanager
def open_run(
    config: Config,
    is_resume: bool,
    watcher: Watcher,
    started: float,
    task: Task | None = None,
    on_signals: Callable[[Run], AbstractContextManager[None]] = stopping_on_signals,
) -> Iterator[Run]:
    """A run ready for its next step, owned by this process until the end of the block.

    `started`: when the work on it began, on the clock of time.monotonic(). `task`: what the configuration names to be
    played, where it is loaded already. `on_signals`: what Ctrl-C and SIGTERM do within the block.
    """
    folder = Path(config.run.dir) / config.run.name
    say = watcher.note
    reported = cast(list[TrackerName], config.logging.report_to)
    require_installed(reported)
    config = _as_begun(config, say)
    with _owned(folder, config, is_resume, task, say) as (parts, owned):
        for line in idle(config):
            say(line)
        for name in (JOURNAL_FOLDER, CHECKPOINT_FOLDER):
            claim_folder(folder, name, say)
        checkpoints = Checkpoints(folder, config.run.keep_checkpoints, say)
        with Store.open(folder / DATABASE) if is_resume else _create(folder, config, parts) as store:
            if is_resume:
                _bring_back(store, folder, config, parts, checkpoints, say)
            else:
                _note_incarnation(store, config, fingerprint(parts.policy.device), "started")
            for name in store.note_held_out(parts.held_out.sets):
                say(f"held-out set {name} has other members than at the run's start: its figures cannot be compared")
            write_file(folder / CONFIG, [configuration.to_yaml(config)], say)
            parts.picker.sets.add(probe for _, probe in store.probes())
            if (rescuer := parts.game.poser.rescuer) is not None:
                for step, rescue in store.rescues():
                    rescuer.add(step, [rescue])
            kept = keep(store, parts.tracker, fold(store, parts.tracker))
            _say_practised(parts, say)
            if not metrics_file.is_whole(folder / METRICS, store):
                whole = metrics_file.lines(store.steps(), store.evaluations(), store.picks())
                write_file(folder / METRICS, whole, say)
            facts = _facts(store, folder, config)
            openers: dict[str, Callable[[], Sink]] = {name: opener(name) for name in reported}
            with closing(parts.game.voices) as voices, _reporting(facts, openers, say) as reporting:
                voices.serve(parts.policy.version)
                run = _run_of(parts, store, checkpoints, watcher, reporting, started, owned.touch, kept)
                head = store.head().step
                recent = [row.metrics for row in store.steps(after=max(0, head - WATCHED_STEPS), until=head)]
                parts.guards.begin(recent, store.alarms())
                with on_signals(run), watcher.running(head), _missing_files_explained(store):
                    yield run


def _as_begun(config: Config, say: Say) -> Config:
    """With what a run keeps as it found it at its start: the model's precision, and which parameters it trains."""
    dtype = dtype_of(config)
    if dtype == "float32" != config.model.dtype:
        say("the model runs in float32: this processor has no products of bfloat16 (model.dtype=auto)")
    mask = mask_of(config)
    if mask is not None:
        say(f"trains {mask.share():.2%} of the parameters, those of {config.train.mask}")
    return replace(
        config,
        model=replace(config.model, dtype=dtype),
        train=replace(config.train, mask_digest="" if mask is None else mask.digest()),
    )


def _facts(store: Store, folder: Path, config: Config) -> RunFacts:
    """What experiment trackers are told. A rewind takes steps back, which no tracker does: another history begins."""
    stored, num_abandoned = store.run(), store.num_steps() - 1 - store.head().step
    began = store.incarnations()[0].started_at
    identity = f"{stored.name}|{stored.seed}|{began}|{num_abandoned}"
    history_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return RunFacts(
        name=f"{config.run.name}-rewound-{history_id[:4]}" if num_abandoned else config.run.name,
        history_id=history_id,
        folder=folder,
        project=config.logging.project,
        config=configuration.changed(config),
    )


@contextmanager
def _reporting(facts: RunFacts, openers: Mapping[str, Callable[[], Sink]], say: Say) -> Iterator[Reporting]:
    """At the end of the block trackers have what was stored, if they take it in a few seconds: a run that is closed
    well has waited for them already."""
    reporting = Reporting(facts.folder / DATABASE, facts, openers, say)
    try:
        yield reporting
    finally:
        reporting.finish(patience=_PATIENCE_AFTER_FAILURES)


def _run_of(
    parts: Parts,
    store: Store,
    checkpoints: Checkpoints,
    watcher: Watcher,
    reporting: Reporting,
    started: float,
    worked: Callable[[], None],
    snapshot_step: int,
) -> Run:
    first = store.steps(after=0, until=parts.teacher.settings.stage_one.max_steps)
    return Run(
        schedule=parts.schedule,
        game=parts.game,
        teacher=parts.teacher,
        trainer=parts.trainer,
        evaluator=parts.evaluator,
        guards=parts.guards,
        rechecker=parts.rechecker,
        picker=parts.picker,
        skill_picker=parts.skill_picker,
        policy=parts.policy,
        tracker=parts.tracker,
        store=store,
        folder=checkpoints.run_folder,
        checkpoints=checkpoints,
        watcher=watcher,
        reporting=reporting,
        started=started,
        worked=worked,
        snapshot_step=snapshot_step,
        skills=folded(store.skill_rounds(), store.skill_picks()),
        stage_facts=[stage_facts(row.metrics) for row in first],
    )


@contextmanager
def _missing_files_explained(store: Store) -> Iterator[None]:
    """A file that cannot be reached is one of many, where the run's folder is gone: StoreError says so in its place."""
    try:
        yield
    except (OSError, StoreError):
        store.require_own_files()
        raise


@contextmanager
def _owned(folder: Path, config: Config, is_resume: bool, task: Task | None, say: Say) -> Iterator[tuple[Parts, Lock]]:
    """The parts of a run whose folder is locked to this process."""
    keep_freed_memory()
    if is_resume:
        with lock(folder, say) as owned:
            say(f"run {folder}")
            yield build(config, task, say), owned
        return
    require_free(folder, config)
    say(f"run {folder}")
    parts = build(config, task, say)  # before there is a folder: a model that cannot be loaded leaves none behind
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock(folder, say) as owned:
        refuse_used(folder, config)  # another process may have been faster
        if (folder / DATABASE).exists():
            set_unbegun_aside(folder, say)
        yield parts, owned


def require_free(folder: Path, config: Config) -> None:
    """Refuses a folder that a new run cannot have, before a model is loaded. Raises Refused or StoreError."""
    with usable(folder):
        refuse_used(folder, config)
        _refuse_no_folder(folder)


def _refuse_no_folder(folder: Path) -> None:
    """What can be told before a model is loaded. OSError if what exists of the path is no folder of ours."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{above} is not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"no right to write in {above}")


def refuse_used(folder: Path, config: Config) -> None:
    """A name is used once: what would overwrite a run is refused, with the command to type instead. What ended before
    anything came of it has not used its name."""
    if (folder / DATABASE).exists():
        if is_unbegun(folder):
            return
        raise Refused(
            f"{folder} exists. To go on with it: {resume_command(folder, config)}. For another run, give it a name: "
            "run.name=...",
            USAGE,
        )
    require_database(folder)


def _create(folder: Path, config: Config, parts: Parts) -> Store:
    return Store.create(
        folder / DATABASE,
        name=config.run.name,
        seed=config.seed,
        config_yaml=configuration.to_yaml(config),
        config_digest=configuration.digest(config),
        code_digest=code_digest(),
        seeds=seed_problems(parts.domain),
        weights_digest=parts.trainer.digest(),
    )


def _bring_back(store: Store, folder: Path, config: Config, parts: Parts, checkpoints: Checkpoints, say: Say) -> None:
    now = fingerprint(parts.policy.device)
    past = store.incarnations()
    if not past or past[-1].fingerprint != now:
        say(f"the environment has changed since this run last worked: now {now}")
    _say_other_code(store, say)
    _say_other_seeds(store, seed_problems(parts.domain), say)
    recover(store, folder, parts.trainer, parts.policy, checkpoints, config.resume.mode, now, say)
    _note_incarnation(store, config, now, f"resumed ({config.resume.mode})")
    stored = store.run()
    # the mode is for this once: a rewind asked for today must not undo steps after the next crash
    kept = replace(config, resume=configuration.resumed(stored.config_yaml, ()).resume)
    if configuration.digest(kept) != stored.config_digest:
        store.update_config(configuration.to_yaml(kept), configuration.digest(kept))
    head = store.head().step
    say(f"resumed after step {head}")
    if config.run.steps < head:
        say(f"run.steps={config.run.steps} is behind it: there is nothing to do, and no step is taken back")


def _note_incarnation(store: Store, config: Config, environment: str, note: str) -> None:
    digests = {"config_digest": configuration.digest(config), "code_digest": code_digest()}
    store.add_incarnation(environment, note, **digests)


def _say_practised(parts: Parts, say: Say) -> None:
    """One line for each held-out set with problems that the run knows: once rows of its file are added or removed, a
    share of them may hold out what was practised before."""
    for name, members in parts.held_out.sets.items():
        known = [each for each in members if parts.tracker.knows(each.problem_id)]
        if known:
            say(
                f"ALARM     held-out set {name}: this run practises {len(known)} of its {len(members)} problems, such "
                f"as {known[0].text[:80]!r}: its figures are not of unseen problems. Give the domain the data that the "
                "run began with"
            )


def _say_other_seeds(store: Store, seeds: Sequence[Problem], say: Say) -> None:
    """One line where the domain's seeds are not those that the run began with: its data file was edited, perhaps."""
    before = {p.problem_id: p for p in next(store.history()).problems if p.origin is Origin.SEED}
    now = {p.problem_id: p for p in seeds}
    changed = [p for key, p in now.items() if key in before and p.answer != before[key].answer]
    other = [p for key, p in (before | now).items() if (key in before) != (key in now)]
    if changed:
        old, new = before[changed[0].problem_id].answer, changed[0].answer
        what = f"{len(changed)} have another answer, such as {changed[0].text!r}: {old!r} then, {new!r} now"
    elif other:
        what = f"{len(other)} were added or removed, such as {other[0].text!r}"
    else:
        return
    say(f"the domain's seeds are not those that this run began with: {what}. The run keeps those it has")


def _say_other_code(store: Store, say: Say) -> None:
    """One line where the last step was made by other code. Steps of before schema 0004 have the run's first code."""
    made = {each.incarnation_id: each.code_digest for each in store.incarnations()}
    before, now = made.get(store.head().incarnation_id or 0) or store.run().code_digest, code_digest()
    if before != now:
        say(f"this run's last step was made by other code (digest {before[:12]}, now {now[:12]}): it goes on with ours")
