"""What looking costs: a long run, made up, the time that each view of the page takes of it, and what a writer feels.

    python benchmarks/view.py --steps 1000

Each step has 24 groups of 8 attempts with two turns. Times are of the views' plain values: rendering a template or JSON
adds some milliseconds. The writer commits steps alone, and again while another process looks without a pause.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Process
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from history import METRICS, _problem, _step

from selfplay.config import files as configuration
from selfplay.machine.run_folder import DATABASE
from selfplay.view.charts import catalogue
from selfplay.view.page import problem_views, run_views, schema_views
from selfplay.view.page.library import Library
from store import sealing, writing
from store.overview.records import ProblemOrder, ProblemQuery
from store.records import Attempt, Finish, Outcome, PassRate, ProblemState, Standing, StepCommit, Turn
from store.sql.relations import Relation
from store.sql.relations import views as sql_views
from store.sql.store import SqlStore
from store.store import Store

GROUP = 8
COMMITS = 40


def main(
    steps: Annotated[int, typer.Option(help="of history")] = 1000,
    new: Annotated[int, typer.Option(help="new problems a step")] = 10,
) -> None:
    """Print wall seconds of each view, the best of three, and of a commit without and with readers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long" / DATABASE
        path.parent.mkdir()
        rng = random.Random(0)
        took = _wall(lambda: make(path, steps, new, rng))
        print(f"made {steps} steps, {steps * 24 * GROUP} attempts in {took:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
        for name, view in views(Library(Path(folder)), steps).items():
            print(f"{name:<28}{min(_wall(view) for _ in range(3)):.2f} s")
        with Store.open(path) as store:
            alone = committing(store, new, rng)
        with looking(Library(Path(folder)), steps), Store.open(path) as store:
            watched = committing(store, new, rng)
        for kind, before, after in zip(("wall", "CPU"), alone, watched, strict=True):
            times = f"{1e3 * before:.1f} ms alone, {1e3 * after:.1f} ms while another process looks"
            print(f"a commit, {kind} time     {times}")


def views(library: Library, steps: int) -> dict[str, Callable[[], object]]:
    """Every view of the page by name."""
    hard = ProblemQuery(order=ProblemOrder.RATE, is_descending=False)
    tried = problem_views.problems(library, "long", ProblemQuery(order=ProblemOrder.ATTEMPTS))["problems"][0]
    found: dict[str, Callable[[], object]] = {
        "runs": lambda: run_views.runs(run_views.Lines(library, {})),
        "a run": lambda: run_views.run(library, "long"),
        "problems": lambda: problem_views.problems(library, "long", hard),
        "a problem": lambda: problem_views.problem(library, "long", tried["problem_id"]),
        "a problem's posterior": lambda: problem_views.posterior_chart(library, "long", tried["problem_id"]),
        "proposals": lambda: problem_views.proposals(library, "long", (), None, None),
        "a step": lambda: problem_views.step(library, "long", steps // 2),
        "a step's blocks": lambda: problem_views.blocks_chart(library, "long", steps // 2),
    }
    found["the database"] = lambda: schema_views.schema(library, "long")
    for each in sql_views():
        found[f"SQL, all of {each.name}"] = lambda each=each: _asked(library, each)  # type: ignore[misc]
    for key in catalogue.KEYS[1:]:
        found[f"chart {key}"] = lambda key=key: _chart(library, key)  # type: ignore[misc]
    return found


def _asked(library: Library, view: Relation) -> None:
    with SqlStore.open_readonly(library.run_folder("long") / DATABASE) as store:
        store.ask(f"SELECT count(*), max({view.columns[-1].name}) FROM {view.name}", most_rows=1, seconds=60.0)


def _chart(library: Library, key: str) -> None:
    with library.source("long") as source:
        catalogue.chart(source, catalogue.Wanted(key))


def make(path: Path, steps: int, new: int, rng: random.Random) -> None:
    """A run's database; one transaction for many steps, since nobody needs it after a power cut."""
    config = configuration.load(None, [])
    known = [_problem(0, number, None) for number in range(12)]
    store = Store.create(
        path, name="long", seed=0, config_yaml=configuration.to_yaml(config),
        config_digest=configuration.digest(config), code_digest="", seeds=tuple(known), weights_digest="0",
    )  # fmt: skip
    with store:
        for first in range(1, steps + 1, 100):
            with store._writing() as connection:
                for step in range(first, min(first + 100, steps + 1)):
                    parent = connection.exec_driver_sql("SELECT head_step_id FROM runs").scalar_one()
                    commit = said(_step(step, new, known, rng), rng)
                    step_id = writing.insert_step(connection, commit, parent)
                    writing.insert_game(connection, commit, step_id)
                    sealing.seal_step(connection, step_id, with_rows=True)
                    writing.move_head(connection, step_id)
        store.checkpoint_wal()


def said(commit: StepCommit, rng: random.Random) -> StepCommit:
    """The commit with what its pass rates are of."""
    standings = {rate.problem_id: Standing(ProblemState.ACTIVE, rng.random()) for rate in commit.pass_rates}
    attempts = tuple(attempt for rate in commit.pass_rates for attempt in _attempts(rate))
    return replace(commit, attempts=attempts, standings=standings, metrics=METRICS)


def _attempts(rate: PassRate) -> list[Attempt]:
    found = []
    for index in range(GROUP):
        outcome = Outcome.CORRECT if index < rate.successes else Outcome.INCORRECT
        first = Turn(f" {index}\n", str(index), outcome, Finish.STOP, 3, 1.0, 1.0, {"verdict": 1.0})
        version = rate.policy_version
        found.append(Attempt(rate.problem_id, index, (first, replace(first, text=f" {index + 1}\n")), version, version))
    return found


def committing(store: Store, new: int, rng: random.Random) -> tuple[float, float]:
    """The medians of wall and of CPU seconds that a step's commit takes."""
    known, walls, own = [_problem(0, number, None) for number in range(12)], [], []
    for _ in range(COMMITS):
        commit = said(_step(store.head().step + 1, new, known, rng), rng)
        cpu = time.process_time()
        walls.append(_wall(lambda commit=commit: store.commit_step(commit)))  # type: ignore[misc]
        own.append(time.process_time() - cpu)
    return median(walls), median(own)


@contextmanager
def looking(library: Library, steps: int) -> Iterator[None]:
    """A process that asks for one view after another."""
    process = Process(target=_look, args=(library, steps))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _look(library: Library, steps: int) -> None:
    while True:
        for view in views(library, steps).values():
            view()


def _wall(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    typer.run(main)
