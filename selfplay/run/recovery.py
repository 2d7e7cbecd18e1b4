"""Brings a run's weights to where the run stopped.

Recovery loads the newest checkpoint that verifies, and replays the updates after it from the journal, comparing the
weights' digest after each step with the one the store recorded. A damaged checkpoint of a replayed step is made again.
`rewind` instead moves the run's head back to the checkpoint, and `best` to the one that the probes picked; later steps
are done anew and stay in the store, abandoned. Where the run went back to older weights (versions/path.py), replay does
so too: it passes over the updates that were undone. Only then is the folder tidied: unfinished files go, and what is
not this run's is set aside.

A folder with files of steps that the database has never heard of has a database that is older, or another run's. Going
on would write over them, so that is refused.

Weights of another digest than recorded mean damage, unless the step or an earlier one was made in another environment,
as its incarnation notes. From that step on other weights are legitimate, and only a note is printed.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from selfplay.learn.batch import TrainBatch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.machine.errors import DATA, USAGE, CheckpointError, NonFiniteError, Refused
from selfplay.machine.run_folder import DATABASE, JOURNAL_FOLDER, Say, set_aside
from selfplay.model.policy import Policy
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.checkpoint_files import PRODUCT, verify
from selfplay.run.versions.path import WeightsPath, weights_path
from selfplay.train.trainer import Trainer
from store.errors import DiskFull, JournalLost
from store.journal import file_name, journal_sha256, read_journal, step_of
from store.records import CheckpointRow, Incarnation, StepRow, StepStatus
from store.store import Store

_UNFINISHED = re.compile(r"\.step_\d+\.safetensors\.tmp")


def recover(
    store: Store,
    folder: Path,
    trainer: Trainer,
    policy: Policy,
    checkpoints: Checkpoints,
    mode: str,
    fingerprint: str,
    say: Say,
) -> None:
    """Bring the trainer's weights to the store's head. Raises Refused (exit code 65) when that cannot be done.

    `fingerprint` is this environment's; the store's incarnations tell in which one each step was made.
    """
    if mode != "rewind":
        _refuse_newer(store, folder, checkpoints)
    comparison = _Comparison(store.incarnations(), fingerprint, say)
    if trainer.digest() != store.step(0).weights_digest:
        comparison.disagrees(0, "the start model is not the one this run began with")
    path = weights_path(store.head().step, store.picks())
    found = checkpoints.examine(store, path)
    for _, problem in found.damaged:
        say(f"passed over a checkpoint: {problem}")
    good = found.good if mode != "best" else _best_alone(store, found.good)
    start = _load_newest(store, folder, trainer, checkpoints, good, path, say)
    if mode != "replay" and start.step < store.head().step:
        abandoned = store.head().step
        store.rewind(start.step)
        say(f"rewound to step {start.step}; steps {start.step + 1} to {abandoned} are abandoned and stay readable")
    steps = [row for row in store.steps(after=start.step) if path.has(row.step)]
    if steps:
        say(f"replaying steps {steps[0].step} to {steps[-1].step} from the journal ...")
    lost = {row.step: (row, problem) for row, problem in found.damaged}
    for row in steps:
        policy.version = path.versions.get(row.step - 1, policy.version)
        _replay(folder, row, trainer, comparison)
        if row.step in lost:
            _make_again(store, checkpoints, row, trainer, policy, *lost.pop(row.step))
    for damaged, problem in lost.values():
        checkpoints.discard(store, damaged, problem)
    policy.version = path.versions.get(store.head().step, policy.version)
    _say_damaged_journals(store, folder, start.step, say)
    checkpoints.tidy(store)
    _tidy_journals(store, folder, say)


def _refuse_newer(store: Store, folder: Path, checkpoints: Checkpoints) -> None:
    """Raises Refused if the folder has gone further than its database. A kill leaves one journal more at most."""
    last = store.last_step()
    journals = sorted((folder / JOURNAL_FOLDER).iterdir(), reverse=True)
    later = [f"{JOURNAL_FOLDER}/{path.name}" for path in journals if (step_of(path) or 0) > last + 1]
    newer = checkpoints.newer_than(store) or next(iter(later), None)
    if newer is not None:
        raise Refused(
            f"{folder / DATABASE} ends at step {last}, and {newer} is of a later one: this is an older copy of the "
            f"database than the files beside it, or another run's. Nothing was changed. Put the newest {DATABASE} "
            "back (without a -wal file of another); or resume.mode=rewind goes on from the last checkpoint that this "
            "one knows and sets the later files aside",
            DATA,
        )


def _load_newest(
    store: Store,
    folder: Path,
    trainer: Trainer,
    checkpoints: Checkpoints,
    good: Sequence[CheckpointRow],
    path: WeightsPath,
    say: Say,
) -> StepRow:
    """The step whose weights were loaded: that of the newest good checkpoint on the path, or 0 for the base model."""
    usable = [row for row in good if path.has(row.step)]
    if usable:
        step = store.step(usable[0].step)
        checkpoints.load(usable[0], trainer, step.policy_version)
        return step
    steps = [step for step in store.steps() if step.step > 0 and path.has(step.step)]
    if any(step.journal_file is None for step in steps):
        begun = checkpoints.newer_than(store) or _whole_model(store, folder, path)
        raise Refused(
            "no checkpoint can be used and the early journal is pruned: put the database and checkpoints that belong "
            "together back"
            + (f"; a new run can begin with the weights in {folder / begun} (model.name=)" if begun else ""),
            DATA,
        )
    if store.checkpoints():
        say("no checkpoint can be used; starting over from the base model and the journal")
    return store.step(0)


def _whole_model(store: Store, folder: Path, path: WeightsPath) -> str | None:
    """The newest served weights that are as they were written, where what a resume needs beside them is not: of the
    path first, since others are those that the run went back from."""
    rows = sorted(store.checkpoints(), key=lambda row: (path.has(row.step), row.step), reverse=True)
    for row in rows:
        with suppress(CheckpointError):
            verify(folder, row, hashed=PRODUCT)
            return f"{row.path}/{PRODUCT}"
    return None


def _best_alone(store: Store, good: Sequence[CheckpointRow]) -> list[CheckpointRow]:
    """The checkpoint that the probes picked. Raises Refused where there is none that can be used."""
    best = store.best_step()
    found = [row for row in good if row.step == best]
    if not found:
        why = "nothing has compared its checkpoints" if best is None else f"that of step {best} is damaged or gone"
        raise Refused(f"this run has no best checkpoint to go back to: {why}", USAGE)
    return found


def _make_again(
    store: Store,
    checkpoints: Checkpoints,
    step: StepRow,
    trainer: Trainer,
    policy: Policy,
    damaged: CheckpointRow,
    why: str,
) -> None:
    """A checkpoint that did not verify, from weights that were replayed to its step. A full disk leaves it out."""
    checkpoints.discard(store, damaged, why)
    try:
        checkpoints.save(store, step, trainer, policy)
        checkpoints.say(f"made the checkpoint of step {step.step} again")
    except DiskFull as error:
        checkpoints.say(f"no checkpoint at step {step.step}: {error}")


def _say_damaged_journals(store: Store, folder: Path, start: int, say: Say) -> None:
    """Of steps before the checkpoint that was loaded: needed only if that is damaged one day."""
    for row in store.steps_with_journals():
        if row.step > start or row.status is not StepStatus.LIVE or row.journal_file is None:
            continue
        name = f"{JOURNAL_FOLDER}/{Path(row.journal_file).name}"
        if journal_sha256(folder / name) != row.journal_sha256:
            say(f"note: {name} is damaged or missing; it is not needed while the checkpoint of step {start} is whole")


def _is_known(store: Store, path: Path) -> bool:
    """Whether the file is a journal of this run, by its content."""
    sha256 = journal_sha256(path)
    return sha256 is not None and store.knows_journal(sha256)


def _tidy_journals(store: Store, folder: Path, say: Say) -> None:
    """Remove journals whose pruning a kill cut, and set aside what is none of this run's.

    A kill may cut the commit that would have named a journal: that one stays, since its step writes it anew.
    """
    named = {row.journal_file for row in store.steps_with_journals()}
    to_come = file_name(store.last_step() + 1)
    for path in sorted((folder / JOURNAL_FOLDER).iterdir()):
        is_file = path.is_file() and not path.is_symlink()
        if path.name in named or (is_file and path.name == to_come):
            continue
        if is_file and (_UNFINISHED.fullmatch(path.name) or _is_known(store, path)):
            path.unlink()
        else:
            set_aside(folder, path, "no journal of this run", say)


def _replay(folder: Path, row: StepRow, trainer: Trainer, comparison: "_Comparison") -> None:
    if row.journal_file is None or row.journal_sha256 is None:
        raise Refused(f"step {row.step} has no journal to replay; try resume.mode=rewind", DATA)
    journal = read_journal(folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
    try:
        batch, critic_batch = TrainBatch.from_arrays(journal.arrays), CriticBatch.from_arrays(journal.arrays)
        trainer.step(batch, critic_batch)
    except (ValueError, NonFiniteError) as error:  # of arrays that no update of this run was made of
        raise JournalLost(
            f"{JOURNAL_FOLDER}/{row.journal_file} is not what an update of this run was made of ({error})"
        ) from error
    if trainer.digest() != row.weights_digest:
        comparison.disagrees(row.step, f"replaying step {row.step} gave other weights than it did first")


@dataclass(slots=True)
class _Comparison:
    """Judges digests that differ: other bits on another machine are expected, on the same one they mean damage."""

    incarnations: Sequence[Incarnation]
    fingerprint: str
    say: Say
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
