"""The journal: one safetensors file a step with what replay needs, finished on disk before the row that names it.

The store knows no token tree: a journal is plain arrays under names that the trainer chooses.
Left out: deleting. `Store.prune_journal` clears the rows and tells its caller which files may go.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from store.errors import JournalError, translated
from store.kill_points import reach

_LONGEST_HEADER = 1 << 20  # bytes: a journal has a dozen arrays


@dataclass(frozen=True, slots=True)
class StepJournal:
    """What the update of one step was computed from: arrays by name (numbers or booleans, any shape)."""

    step: int
    arrays: Mapping[str, np.ndarray]


def write_journal(folder: Path, journal: StepJournal) -> tuple[str, str]:
    """Writes `journal` durably; returns its file name (like step_000012.safetensors) and its sha256.

    Temporary name, flush, fsync, rename, fsync of the folder: when this returns, a power cut keeps the file. A file
    of the same name is replaced (a step that was cut before its row is done again). Equal journals give equal bytes.
    Raises DiskFull, or StoreError when the folder cannot be written.
    """
    name = file_name(journal.step)
    try:
        blob = save(
            {key: np.asarray(value, order="C") for key, value in journal.arrays.items()}, {"step": str(journal.step)}
        )
    except (KeyError, SafetensorError) as error:
        raise JournalError(
            f"the journal of step {journal.step} holds an array that cannot be stored: {error}"
        ) from error
    folder, temporary = Path(folder), Path(folder) / f".{name}.tmp"
    with translated(folder / name):
        folder.mkdir(exist_ok=True)  # not its parents: a run's folder that was removed is not made anew
        try:
            with open(temporary, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)  # half a file on a full disk only makes it fuller
            raise
        reach("journal.written")
        os.replace(temporary, folder / name)
        fsync_folder(folder)
    reach("journal.renamed")
    return name, hashlib.sha256(blob).hexdigest()


def read_journal(folder: Path, file_name: str, sha256: str) -> StepJournal:
    """The journal in `folder / file_name`. JournalError names the file if it is missing or its bytes changed."""
    if Path(file_name).name != file_name:
        raise JournalError(f"{file_name!r} is not a journal file name: it must have no folder")
    path = Path(folder) / file_name
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be read ({error.strerror}): resume with resume.mode=rewind"
        ) from error
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise JournalError(f"the journal {path} is damaged (its sha256 changed): resume with resume.mode=rewind")
    size = int.from_bytes(blob[:8], "little")
    try:
        step = int(json.loads(blob[8 : 8 + size])["__metadata__"]["step"])
        return StepJournal(step=step, arrays=load(blob))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(f"the journal {path} is no journal, though the database names its sha256") from error


def file_name(step: int) -> str:
    """The name of a step's journal in the run's journal folder."""
    return f"step_{step:06d}.safetensors"


def journal_sha256(path: Path) -> str | None:
    """Hex sha256 of a journal's bytes; None if they cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def step_of(path: Path) -> int | None:
    """The step that a file says it is the journal of; None for what is no journal."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if 0 < size <= _LONGEST_HEADER else {}
        step = int(header["__metadata__"]["step"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return step if path.name == file_name(step) else None


def fsync_folder(folder: Path) -> None:
    """Makes renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
