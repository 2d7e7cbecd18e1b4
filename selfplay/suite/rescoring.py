"""Scores what was trained on once more, under the weights of a checkpoint: how the policy has changed since.

A step's journal has its token tree and what each trained token was drawn from, so the numbers are of the same
distributions as the sampler's: at the role's temperature, and over the tokens that a truncation left. The run is only
read, and may be at work.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from selfplay.learn import rescored
from selfplay.learn.batch import TrainBatch
from selfplay.learn.rescored import Rescored
from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.run_folder import DATABASE, JOURNAL_FOLDER
from selfplay.run.build_learning import trainer_settings
from selfplay.run.build_model import reference
from selfplay.suite.loading import LoadedPolicy, load
from selfplay.suite.subjects import subject
from selfplay.train.passes import passes
from store.errors import JournalError
from store.journal import read_journal
from store.records import StepRow
from store.store import Store


def rescore(folder: Path, steps: Sequence[int], by: int | None, note: Callable[[str], None]) -> list[Path]:
    """Writes a file for each of `steps` whose journal is kept and whose update the weights have in them. `by`: the
    checkpoint's step, None for the newest.

    Raises Refused, before a model is loaded, where there is no such step or checkpoint.
    """
    with Store.open_readonly(folder / DATABASE) as store:
        kept = [row for row in store.steps() if row.journal_file is not None]
        saved = [row.step for row in store.checkpoints()]
    if not saved:
        raise Refused(f"{folder} has no checkpoint yet, under whose weights tokens could be scored", USAGE)
    if by is not None and by not in saved:
        raise Refused(f"{folder} has no checkpoint of step {by}; there are those of {_named(sorted(saved))}", USAGE)
    if not steps:
        raise Refused(f"{folder}: no step has tried this problem yet", USAGE)
    later = max(saved) if by is None else by
    rows = [row for row in kept if row.step in steps and row.step <= later]
    if not rows:
        have = f"steps {kept[0].step} to {kept[-1].step}" if kept else "none"
        raise Refused(
            f"{folder}: {_named(sorted(steps))} tried this problem, and none of it has both a journal and the "
            f"checkpoint of step {later} behind it. Journals: {have}; a run keeps them since its oldest checkpoint "
            "(run.keep_checkpoints)",
            USAGE,
        )
    loaded = load(subject(f"{folder}" if by is None else f"{folder}@{by}", folder.parent, ()), note)
    return [_written(folder, row, loaded, note) for row in rows if row.step <= loaded.step]


def _named(steps: Sequence[int]) -> str:
    shown = ", ".join(map(str, steps[:5]))
    return f"step {shown}" if len(steps) == 1 else f"steps {shown}{' ...' if len(steps) > 5 else ''}"


def _written(folder: Path, row: StepRow, loaded: LoadedPolicy, note: Callable[[str], None]) -> Path:
    assert row.journal_file is not None and row.journal_sha256 is not None
    try:
        journal = read_journal(folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
        logprobs = logprobs_of(TrainBatch.from_arrays(journal.arrays), loaded)
    except (JournalError, ValueError) as error:
        raise Refused(f"the journal of step {row.step} cannot be read: {error}", USAGE) from error
    path = rescored.write(folder, Rescored(row.step, loaded.step, row.journal_sha256, logprobs.tolist()))
    note(f"wrote {path}: {len(logprobs)} tokens of step {row.step} under the weights of step {loaded.step}")
    return path


def logprobs_of(batch: TrainBatch, loaded: LoadedPolicy) -> np.ndarray:
    """[M] float64 log-probabilities of the batch's trained tokens, of the distributions that they were drawn from."""
    config, policy = loaded.subject.config, loaded.policy
    settings = trainer_settings(config, loaded.parity)
    score = reference(policy, settings)
    found = np.zeros(len(batch.targets))
    width = policy.head.weight.shape[1]
    for plan in passes(batch, settings.pack_tokens, settings.mode, width, settings.adapters):
        found[plan.pack.targets] = score(batch, plan).double().cpu().numpy()
    return found
