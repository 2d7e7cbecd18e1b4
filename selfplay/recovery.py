"""Open a run: create it, or find out where it stopped and bring the weights there (reliability.md 1.3).

Recovery sweeps up unfinished files, loads the newest checkpoint that verifies, and replays the updates after it from
the journal, comparing the weights' digest after each step with the one the store recorded. `rewind` instead moves
the run's head back to the checkpoint and lets later steps be done anew; they stay in the store, abandoned.

Other bits than recorded mean damage, unless the step was made in another environment (as its incarnation noted), or
an earlier one was: from there on the weights are legitimately others, and a note is all there is to say.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from selfplay.checkpoint import CheckpointError, Checkpoints
from selfplay.exits import BUSY, DATA, USAGE, Refused
from selfplay.train.batch import TrainBatch
from selfplay.train.critic import CriticBatch
from selfplay.train.trainer import Trainer
from store.journal import read_journal
from store.records import Incarnation, StepRow
from store.store import Store

JOURNAL_FOLDER = "journal"
DATABASE = "selfplay.db"


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Whatever a file system has against a run's folder is one line; a full disk keeps an exit code of its own."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        reason = error.strerror or error
        raise Refused(f"run.dir: {folder} cannot be made or written ({reason}); give another folder", USAGE) from error


def lock(folder: Path) -> IO[str]:
    """Own the run folder for as long as this process lives; a second owner is refused with exit code 75."""
    with usable(folder):
        file = (folder / "LOCK").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise Refused(f"{folder} is in use by {owner}; wait for it, or stop it first", BUSY) from error
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()}\n")
    file.flush()
    return file


def recover(
    store: Store,
    folder: Path,
    trainer: Trainer,
    checkpoints: Checkpoints,
    mode: str,
    fingerprint: str,
    say: Callable[[str], None],
) -> None:
    """Bring the trainer's weights to the store's head. Raises Refused (exit code 65) when that cannot be done.

    `fingerprint` is this environment's; the store's incarnations tell in which one each step was made.
    """
    checkpoints.sweep(store)
    _sweep_journals(store, folder)
    comparison = _Comparison(store.incarnations(), fingerprint, say)
    base = store.step(0)
    if trainer.digest() != base.weights_digest:
        comparison.disagrees(0, "the start model is not the one this run began with")
    start = _load_newest(store, trainer, checkpoints, say)
    if mode == "rewind" and start.step < store.head().step:
        abandoned = store.head().step
        store.rewind(start.step)
        say(f"rewound to step {start.step}; steps {start.step + 1} to {abandoned} are abandoned and stay readable")
        return
    steps = [row for row in store.steps() if row.step > start.step]
    if steps:
        say(f"replaying steps {steps[0].step} to {steps[-1].step} from the journal ...")
    for row in steps:
        _replay(folder, row, trainer, comparison)


def _sweep_journals(store: Store, folder: Path) -> None:
    """Remove journals that no step names: a kill cut their pruning, or the commit that would have named them."""
    named = {row.journal_file for row in store.steps(include_abandoned=True)}
    for path in (folder / JOURNAL_FOLDER).iterdir():
        if path.name not in named:
            path.unlink()


def _load_newest(store: Store, trainer: Trainer, checkpoints: Checkpoints, say: Callable[[str], None]) -> StepRow:
    """The step whose weights were loaded: the newest good checkpoint's, or 0 for the base model."""
    if not store.checkpoints():
        return store.step(0)
    try:
        row, damaged = checkpoints.newest(store)
    except CheckpointError as error:
        journals = [step for step in store.steps() if step.step > 0]
        if all(step.journal_file is not None for step in journals):
            say(f"no checkpoint can be used ({error}); starting over from the base model and the journal")
            return store.step(0)
        raise Refused(f"no checkpoint can be used and the early journal is pruned: {error}", DATA) from error
    for problem in damaged:
        say(f"passed over a checkpoint: {problem}")
    step = store.step(row.step)
    checkpoints.load(row, trainer, step.policy_version)
    return step


def _replay(folder: Path, row: StepRow, trainer: Trainer, comparison: "_Comparison") -> None:
    if row.journal_file is None or row.journal_sha256 is None:
        raise Refused(f"step {row.step} has no journal to replay; try resume.mode=rewind", DATA)
    journal = read_journal(folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
    trainer.step(TrainBatch.from_arrays(journal.arrays), CriticBatch.from_arrays(journal.arrays))
    if trainer.digest() != row.weights_digest:
        comparison.disagrees(row.step, f"replaying step {row.step} gave other weights than it did first")


@dataclass(slots=True)
class _Comparison:
    """Judges digests that differ: other bits on another machine are expected, on the same one they mean damage."""

    incarnations: Sequence[Incarnation]
    fingerprint: str
    say: Callable[[str], None]
    have_parted: bool = False  # the weights are legitimately not those of the store

    def disagrees(self, step: int, what: str) -> None:
        """Raises Refused, or says it, if `step` was made in another environment or follows one that was."""
        if self._was_made_here(step) and not self.have_parted:
            raise Refused(
                f"{what}, in the same environment: the run's files are damaged, or the code has changed", DATA
            )
        self.have_parted = True
        self.say(f"note: {what}; the environment has changed, so the run goes on as a new incarnation")

    def _was_made_here(self, step: int) -> bool:
        """A live step is the work of the last incarnation that began before it; step 0 of the first."""
        makers = [i for i in self.incarnations if i.head_step < step] or self.incarnations[:1]
        return bool(makers) and makers[-1].fingerprint == self.fingerprint
