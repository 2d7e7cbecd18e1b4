"""Experiments on the project's claims: run them, and rebuild their pages from the rows that finished cells leave."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from selfplay.exits import INTERRUPTED, USAGE, Refused, clear_errors
from selfplay.lab.cells import ROWS, Cell, finished, run_cell
from selfplay.lab.experiment import Experiment
from selfplay.lab.experiments import EXPERIMENTS
from selfplay.lab.page import report_json, write_page
from selfplay.lab.rows import read_rows
from selfplay.terminal import say, say_json, say_table

app = typer.Typer(
    name="python -m selfplay.lab", help=__doc__, no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

Name = Annotated[str, typer.Argument(metavar="NAME", help="An experiment; `list` shows them.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]
RUNS = Path("runs/lab")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every experiment, its claim, and how many of its cells are done."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        cells = _cells(experiment, None, None, is_full=False, directory=RUNS)
        done = sum(finished(cell) for cell in cells)
        rows.append({"name": name, "cells done": f"{done}/{len(cells)}", "claim": experiment.claim})
    return say_json(rows) if as_json else say_table(rows, "experiments (without --full)")


@app.command()
def run(
    name: Name,
    arm: Annotated[str | None, typer.Option(help="Only this arm.")] = None,
    seed: Annotated[int | None, typer.Option(help="Only this seed; any number.")] = None,
    full: Annotated[bool, typer.Option("--full", help="The arms that decide nothing, too.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time, one thread each.")] = 2,
    directory: Annotated[Path, typer.Option("--dir", help="Where run folders go.")] = RUNS,
) -> None:
    """Run what is not done yet, then write the page. Interrupted, the same command goes on."""
    experiment = _experiment(name)
    if arm is not None and arm not in experiment.arms:
        raise Refused(f"{name} has no arm {arm}; there are {', '.join(experiment.arms)}", USAGE)
    cells = _cells(experiment, arm, seed, full, directory)
    left = [cell for cell in cells if not finished(cell)]
    say(f"{name}: {len(cells)} cells, {len(cells) - len(left)} done")
    if not _run_all(left, jobs):
        say("interrupted; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    say(f"page     {write_page(experiment, read_rows(ROWS / name), ROWS)}")


@app.command()
def report(name: Name, as_json: AsJson = False) -> None:
    """Rebuild the page from the rows in docs/lab/NAME/, or print its figures as JSON."""
    experiment = _experiment(name)
    rows = read_rows(ROWS / name)
    if not rows:
        raise Refused(f"no cell of {name} is done: python -m selfplay.lab run {name}", USAGE)
    if as_json:
        return say_json(report_json(experiment, rows))
    return say(f"page     {write_page(experiment, rows, ROWS)}")


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise Refused(f"there is no experiment {name}; there are {', '.join(EXPERIMENTS)}", USAGE)
    return EXPERIMENTS[name]


def _cells(experiment: Experiment, arm: str | None, seed: int | None, is_full: bool, directory: Path) -> list[Cell]:
    """Seed by seed, so that an interrupted experiment has whole seeds to compare."""
    arms = [arm] if arm is not None else [a for a, each in experiment.arms.items() if each.is_gated or is_full]
    seeds = experiment.seeds if seed is None else (seed,)
    return [Cell(experiment, a, s, directory) for s in seeds for a in arms]


def _run_all(cells: Sequence[Cell], jobs: int) -> bool:
    """Whether all were done; a line for each that is."""
    started, done, interrupted = time.monotonic(), 0, False
    os.environ["OMP_NUM_THREADS"] = "1"  # for the children: two cells side by side are faster than one on two cores
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        pending = {pool.submit(run_named, c.experiment.name, c.arm, c.seed, str(c.directory)): c for c in cells}
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    cell = pending.pop(future)
                    line = future.result()
                    interrupted = interrupted or line is None
                    done += 1
                    left = (time.monotonic() - started) / done * len(pending) / 60
                    say(f"{done:>3}/{len(cells)}  {cell.name:28} {line or 'interrupted'}  ({left:.0f} min left)")
        except KeyboardInterrupt:
            interrupted = True
        finally:
            pool.shutdown(cancel_futures=True)
    return not interrupted


def run_named(experiment: str, arm: str, seed: int, directory: str) -> str | None:
    """One cell, in a process of its own: a line on how it ended, None when it was interrupted."""
    row = run_cell(Cell(EXPERIMENTS[experiment], arm, seed, Path(directory)), say=lambda line: None)
    if row is None:
        return None
    sets = list(row.end)
    mean = {
        key: sum(getattr(row, moment)[name].get(metric, 0.0) for name in sets) / len(sets)
        for key, (moment, metric) in {
            "before": ("start", "acc_t1"), "after": ("end", "acc_t1"), "last": ("end", "acc_t2"),
        }.items()
    }  # fmt: skip
    second = f", second look {mean['last']:.2f}" if any("acc_t2" in row.end[name] for name in sets) else ""
    return f"{row.seconds:5.0f} s  first try {mean['before']:.2f} -> {mean['after']:.2f}{second}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exit codes are those of the loop (python -m selfplay.loop --help)."""
    with clear_errors():
        app(args=arguments)


if __name__ == "__main__":
    main()
