"""Experiments on the project's claims: run them, and rebuild their pages from the rows that finished cells leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from selfplay.lab.cells import ROWS, Cell, finished
from selfplay.lab.experiments.experiment import Experiment
from selfplay.lab.experiments.registry import EXPERIMENTS
from selfplay.lab.pages.page import report_json, write_page
from selfplay.lab.pool import run_all
from selfplay.lab.rows import read_rows
from selfplay.lab.verdict.coverage import write_page as coverage_page
from selfplay.machine.errors import INTERRUPTED, USAGE, Refused
from selfplay.machine.exits import clear_errors
from selfplay.view.terminal import AsJson, command_line, say, say_json, say_table

app = command_line("selfplay.lab", __doc__)

Name = Annotated[str, typer.Argument(metavar="NAME", help="An experiment; `list` shows them.")]
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
    full: Annotated[bool, typer.Option("--full", help="Also the second family and arms that decide nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time, one thread each.")] = 2,
    directory: Annotated[Path, typer.Option("--dir", help="Where run folders go.")] = RUNS,
) -> None:
    """Run what is not done yet, then write the page. Interrupted, the same command goes on."""
    experiment = _experiment(name)
    if arm is not None and arm not in experiment.arms:
        raise Refused(f"{name} has no arm {arm}; there are {', '.join(experiment.arms)}", USAGE)
    second = [experiment.second_family] if full and arm is None and experiment.second_family else []
    for family in [experiment, *second]:
        cells = _cells(family, arm, seed, full, directory)
        left = [cell for cell in cells if not finished(cell)]
        say(f"{family.name}: {len(cells)} cells, {len(cells) - len(left)} done")
        if not run_all(left, jobs):
            say("interrupted; the same command goes on")
            raise typer.Exit(INTERRUPTED)
        say(f"page     {write_page(family, read_rows(ROWS / family.name), ROWS)}")


@app.command()
def report(name: Name, as_json: AsJson = False) -> None:
    """Rebuild the page from its rows in docs/lab/, or print its figures."""
    experiment = _experiment(name)
    rows = read_rows(ROWS / name)
    if not rows:
        raise Refused(f"no cell of {name} is done: python -m selfplay.lab run {name}", USAGE)
    if as_json:
        return say_json(report_json(experiment, rows))
    return say(f"page     {write_page(experiment, rows, ROWS)}")


@app.command()
def coverage() -> None:
    """Simulate how often intervals hold the truth, and write docs/lab/coverage.md (a minute or two)."""
    return say(f"page     {coverage_page(ROWS)}")


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise Refused(f"there is no experiment {name}; there are {', '.join(EXPERIMENTS)}", USAGE)
    return EXPERIMENTS[name]


def _cells(experiment: Experiment, arm: str | None, seed: int | None, is_full: bool, directory: Path) -> list[Cell]:
    """Seed by seed, so that an interrupted experiment has whole seeds to compare."""
    arms = [arm] if arm is not None else [a for a, each in experiment.arms.items() if each.is_gated or is_full]
    seeds = experiment.seeds if seed is None else (seed,)
    return [Cell(experiment, a, s, directory) for s in seeds for a in arms]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exit codes are those of the loop (python -m selfplay.loop --help)."""
    with clear_errors():
        app(args=arguments)


if __name__ == "__main__":
    main()
