"""What a long history costs: a store of many steps, made up, and the CPU seconds that looking and going on take.

    python benchmarks/history.py --steps 10000

Each step has 24 groups, 48 proposals and `--new` new problems, as in the default job; attempts are left out, which
nothing here reads. "folding" is the same without snapshots.
"""

import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.folding import fold, keep
from selfplay.config import files as configuration
from selfplay.view import queries
from store import sealing, writing
from store.records import Fate, Origin, PassRate, Problem, Proposal, StepCommit, StepHistory
from store.store import Store

METRICS = {f"metric/{number}": 0.125 * number for number in range(90)}


def main(
    steps: Annotated[int, typer.Option(help="of history")] = 10_000,
    new: Annotated[int, typer.Option(help="new problems a step")] = 10,
) -> None:
    """Print CPU seconds of status and of a resume's fold, with and without snapshots."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "selfplay.db"
        print(
            f"made {steps} steps in {_timed(lambda: make(path, steps, new)):.0f} s, {path.stat().st_size / 1e6:.0f} MB"
        )
        with Store.open(path) as store:
            settings = queries.settings_of(store)
            print(f"folding everything   {_timed(lambda: folded(store, Tracker(settings))):.2f} s")
            print(f"from the snapshot    {_timed(lambda: fold(store, Tracker(settings))):.2f} s")
            print(f"status               {_timed(lambda: queries.status(store)):.2f} s")
            print(f"a resume's readings  {_timed(lambda: resumed(store)):.2f} s")
    print(f"peak memory          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def make(path: Path, steps: int, new: int) -> None:
    """A run's database; one transaction for all steps, since nobody needs it after a power cut."""
    config = configuration.load(None, [])
    seeds = [_problem(0, number, None) for number in range(12)]
    store = Store.create(
        path, name="long", seed=0, config_yaml=configuration.to_yaml(config),
        config_digest=configuration.digest(config), code_digest="", seeds=seeds, weights_digest="0",
    )  # fmt: skip
    with store:
        tracker, kept, known, rng = queries.tracker_of(store), -1, [*seeds], random.Random(0)
        for first in range(1, steps + 1, 500):
            with store._writing() as connection:
                for step in range(first, min(first + 500, steps + 1)):
                    commit = _step(step, new, known, rng)
                    parent = connection.exec_driver_sql("SELECT head_step_id FROM runs").scalar_one()
                    step_id = writing.insert_step(connection, commit, parent)
                    writing.insert_game(connection, commit, step_id)
                    sealing.seal_step(connection, step_id, with_rows=True)
                    writing.move_head(connection, step_id)
                    history = StepHistory(step, step, commit.problems, commit.proposals, commit.pass_rates)
                    tracker.observe(history)
            kept = keep(store, tracker, kept)
        store.checkpoint_wal()


def _step(step: int, new: int, known: list[Problem], rng: random.Random) -> StepCommit:
    made = [_problem(step, number, rng.choice(known).problem_id) for number in range(new)]
    known += made
    posed = {problem.problem_id for problem in [*made, *(rng.choice(known) for _ in range(24 - new))]}
    return StepCommit(
        step=step, policy_version=step, problems=tuple(made), attempts=(), metrics=METRICS, weights_digest=str(step),
        proposals=tuple(
            Proposal(rng.choice(known).problem_id, n // 6, n % 6, "12 + 34", Fate.SURPLUS, None, 0.5) for n in range(48)
        ),
        pass_rates=tuple(PassRate(name, step - 1, 8, rng.randrange(9)) for name in sorted(posed)),
        journal_file=f"step_{step:06d}.safetensors", journal_sha256=str(step), seconds=1.0,
    )  # fmt: skip


def _problem(step: int, number: int, parent: str | None) -> Problem:
    name, level = f"{step:010x}{number:06x}", 1 + (step + number) % 9
    origin = Origin.CHALLENGER if parent else Origin.SEED
    return Problem(name, "arithmetic", "12 + 34", name, f"family {level}", level, "46", "executed", origin, parent)


def folded(store: Store, tracker: Tracker) -> None:
    """As it is where no snapshot is believed."""
    for step in store.history():
        tracker.observe(step)


def resumed(store: Store) -> None:
    """What a start reads of a store besides its curriculum (selfplay/run/opening.py, selfplay/run/recovery.py)."""
    head = store.head().step
    store.steps(after=head - 29)
    store.last_step()
    store.evaluations()
    store.checkpoints()
    store.pending_waves(head + 1)


def _timed(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    typer.run(main)
