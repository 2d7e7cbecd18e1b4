"""Cells side by side, each in a process of its own with one thread: two such are faster than one on two cores."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from selfplay.lab.cells import Cell, commit, run_cell
from selfplay.lab.experiments.registry import EXPERIMENTS
from selfplay.lab.workers import interruptible, worker_pool
from selfplay.view.terminal import say


def run_all(cells: Sequence[Cell], jobs: int) -> bool:
    """Whether all were done; a line for each that is. Ctrl-C ends the running ones after their step and starts no more.

    No more are handed out than can run: what a pool was given ahead, it would start after Ctrl-C too.
    """
    started, done, interrupted = time.monotonic(), 0, False
    os.environ["OMP_NUM_THREADS"] = "1"  # of the children, which read it when they start
    with worker_pool(jobs) as pool:
        made_at, waiting = commit(), list(cells)
        pending: dict[Future[str | None], Cell] = {}
        try:
            while pending or (waiting and not interrupted):
                while waiting and not interrupted and len(pending) < jobs:
                    c = waiting.pop(0)
                    arguments = (c.experiment.name, c.arm, c.seed, str(c.directory), made_at)
                    pending[pool.submit(run_named, *arguments)] = c
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    cell = pending.pop(future)
                    line = future.result()
                    interrupted = interrupted or line is None
                    done += 1
                    left = (time.monotonic() - started) / done * (len(pending) + len(waiting)) / 60
                    say(f"{done:>3}/{len(cells)}  {cell.name:28} {line or 'interrupted'}  ({left:.0f} min left)")
        except KeyboardInterrupt:
            interrupted = True
        finally:
            pool.shutdown(cancel_futures=True)
    return not interrupted


def run_named(experiment: str, arm: str, seed: int, directory: str, made_at: str) -> str | None:
    """One cell, in a process of its own: a line on how it ended, None when it was interrupted."""
    with interruptible():
        row = run_cell(Cell(EXPERIMENTS[experiment], arm, seed, Path(directory)), lambda line: None, made_at)
    if row is None:
        return None
    before, after = _mean(row.start, "acc_t1"), _mean(row.end, "acc_t1")
    last = _mean(row.end, "acc_t2")
    second = "" if last is None else f", second look {last:.2f}"
    return f"{row.seconds:5.0f} s  first try {before:.2f} -> {after:.2f}{second}"


def _mean(metrics: Mapping[str, Mapping[str, float]], name: str) -> float | None:
    """Over the sets that have the metric; None where none has."""
    found = [by_name[name] for by_name in metrics.values() if name in by_name]
    return sum(found) / len(found) if found else None
