"""The model that a run made, as a folder of its own: found by name, read whole, copied."""

import shutil
from pathlib import Path

from selfplay.machine.errors import DATA, USAGE, CheckpointError, Refused
from selfplay.run.checkpoint_files import PRODUCT, folder_of, verify
from selfplay.suite.subjects import subject


def product(named: str, directory: Path) -> tuple[int, Path]:
    """RUN[@STEP] or RUN@best: the step, and the folder of its weights. Raises Refused, for damaged ones with DATA."""
    wanted = subject(named, directory, ())
    if wanted.folder is None or not wanted.rows:
        what = "is no run" if wanted.folder is None else "is the start: its weights are those of model.name"
        raise Refused(f"{named} {what}; name a run, in --dir or by its folder", USAGE)
    row, _ = wanted.rows[0]
    try:
        verify(wanted.folder, row, hashed=PRODUCT)
    except CheckpointError as error:
        raise Refused(f"{named}: its weights are damaged ({error})", DATA) from error
    return row.step, folder_of(wanted.folder, row) / PRODUCT


def copied(folder: Path, target: Path) -> None:
    """Copies a model's folder. Raises Refused where `target` exists: nothing is written over."""
    if target.exists():
        raise Refused(f"{target} exists: give another folder", USAGE)
    shutil.copytree(folder, target)
