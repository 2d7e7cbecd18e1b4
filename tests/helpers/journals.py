"""Reads what a run's journals say was trained."""

from pathlib import Path

from selfplay.learn.batch import TrainBatch
from selfplay.machine.run_folder import JOURNAL_FOLDER
from store.journal import read_journal
from store.store import Store


def trained_labels(run_folder: Path) -> set[str]:
    """Labels of the tokens in those of the run's journals that were not pruned."""
    found: set[str] = set()
    with Store.open_readonly(run_folder / "selfplay.db") as store:
        for row in store.steps():
            if row.journal_file is not None and row.journal_sha256 is not None:
                journal = read_journal(run_folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
                found.update(TrainBatch.from_arrays(journal.arrays).label_names)
    return found
