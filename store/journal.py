"""The journal: one safetensors file a step, from which its update can be run again.

The file is finished on disk before the row that names it is committed. It holds plain arrays, under names that the
caller chooses. Left out: deleting. `Store.prune_journal` clears the rows and returns the files that may go.
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

from store.errors import JournalError, JournalLost, translated
from store.kill_points import reach

_LONGEST_HEADER = 1 << 20  # bytes: a journal has a dozen arrays


@dataclass(frozen=True, slots=True)
class StepJournal:
    """What the update of one step was computed from: arrays by name (numbers or booleans, any shape)."""

    step: int
    arrays: Mapping[str, np.ndarray]


def write_journal(folder: Path, journal: StepJournal) -> tuple[str, str]:
    """Writes `journal`; returns its file name (like step_000012.safetensors) and its sha256. Equal journals are equal
    bytes.

    It is written under a temporary name, flushed, synced, renamed, and the folder is synced: once this returns, the
    file outlives a power cut. A file of the same name is replaced, since a step that was cut before its row was
    committed is done again. Raises DiskFull, or StoreError when the folder cannot be written.
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
        folder.mkdir(exist_ok=True)  # without its parents: a run's folder that was removed stays removed
        try:
            with open(temporary, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)  # half a file, which would only fill a full disk further
            raise
        reach("journal.written")
        os.replace(temporary, folder / name)
        fsync_folder(folder)
    reach("journal.renamed")
    return name, hashlib.sha256(blob).hexdigest()


def read_journal(folder: Path, file_name: str, sha256: str) -> StepJournal:
    """The journal in `folder / file_name`. JournalLost, naming the file, if it is missing or its bytes changed."""
    if Path(file_name).name != file_name:
        raise JournalError(f"{file_name!r} is not a journal file name: it must have no folder")
    path = Path(folder) / file_name
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise JournalLost(f"the journal {path} cannot be read ({error.strerror})") from error
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise JournalLost(f"the journal {path} is damaged (its sha256 changed)")
    size = int.from_bytes(blob[:8], "little")
    try:
        step = int(json.loads(blob[8 : 8 + size])["__metadata__"]["step"])
        return StepJournal(step=step, arrays=load(blob))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JournalLost(f"the journal {path} is no journal, though the database names its sha256") from error


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
    """The step of the journal that a file says it is, by its header and its name; None where it is none."""
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
    """Makes renames inside `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
