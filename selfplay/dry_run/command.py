"""`python -m selfplay.loop ... --dry-run`: what a run would take, measured on one step that leaves nothing behind."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from selfplay.config.keys import Config
from selfplay.config.task import Task
from selfplay.dry_run.cleaning import ended_by_signals, temporary_folder
from selfplay.dry_run.estimate import DryRun, Free, Plan, estimate
from selfplay.dry_run.measure import Heard, Play, measure
from selfplay.dry_run.shown import as_json, rows
from selfplay.machine.environment import device_of
from selfplay.machine.errors import OK
from selfplay.machine.memory import free_bytes, free_device_bytes, resident_bytes
from selfplay.run.opening import require_free
from selfplay.view.terminal import say, say_json, say_table


def answer(
    config: Config, task: Task | None, play: Play, started: float, is_json: bool, free: Free | None = None
) -> int:
    """Prints what a dry run found (see `dry_run`). Returns the exit code, which no warning changes."""
    found = dry_run(config, task, play, started, _silent if is_json else say, free)
    if is_json:
        say_json(as_json(found))
        return OK
    say_table(rows(found), f"dry run of {found.folder}: what it will take")
    for line in found.estimate.notes:
        say(f"- {line}")
    for line in found.estimate.warnings:
        say(f"WARNING   {line}")
    return OK


def _silent(line: str) -> None:
    """Nobody listens."""


def dry_run(
    config: Config,
    task: Task | None,
    play: Play,
    started: float,
    note: Callable[[str], None],
    free: Free | None = None,
) -> DryRun:
    """One step of the run that `config` describes, and what follows from it. Raises what the run would raise.

    `play`: plays, trains and commits a step. `started`: on the clock of time.monotonic(). `free`: what there is, where
    it is not to be looked up.
    """
    folder = Path(config.run.dir) / config.run.name
    watcher = Heard(note)
    with ended_by_signals():
        require_free(folder, config)
        with temporary_folder(folder.parent) as place:
            free = free or free_now(place, config)
            measured = measure(config, task, play, place, watcher, started)
    plan = planned(config)
    return DryRun(folder, measured, plan, free, estimate(measured, plan, free), tuple(watcher.lines))


def planned(config: Config) -> Plan:
    return Plan(
        steps=config.run.steps,
        evaluate_every=config.evaluate.every,
        checkpoint_every=config.run.checkpoint_every,
        keep_checkpoints=config.run.keep_checkpoints,
        max_tokens=config.solver.max_tokens,
        threads=config.run.threads,
        worker_keys_mib=config.engine.kv_cache_mib if config.engine.kind == "vllm" and not config.engine.url else None,
    )


def free_now(folder: Path, config: Config) -> Free:
    """`folder`: on the run's disk. What this process holds already is counted as free: the run needs it too."""
    memory = free_bytes()
    return Free(
        memory_bytes=None if memory is None else memory + resident_bytes(),
        disk_bytes=shutil.disk_usage(folder).free,
        device_bytes=free_device_bytes(device_of(config.run.device)),
        load=os.getloadavg()[0],
        processors=os.cpu_count() or 1,
    )
