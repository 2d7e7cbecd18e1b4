"""A checkpoint's files as its row in the store promises them: where they are, and whether they are what was written.

Free of torch, so that commands which only look can use it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfplay.machine.errors import CheckpointError
from selfplay.machine.run_folder import CHECKPOINT_FOLDER
from store.records import CheckpointRow

STATE_FILE = "trainer-{}.safetensors"  # one for the masters and one for each of Adam's moments
MASTER = "master"  # as `Trainer.state` has it
MANIFEST = "manifest.json"
PRODUCT = "policy"  # the served weights: what a run is for


def folder_of(run_folder: Path, row: CheckpointRow) -> Path:
    """Where a row's files are. CheckpointError if its path leads anywhere but into the run's checkpoints."""
    name = row.path.removeprefix(f"{CHECKPOINT_FOLDER}/")
    if name in ("", ".", "..") or row.path != f"{CHECKPOINT_FOLDER}/{Path(name).name}":
        raise CheckpointError(f"{row.path!r} is no folder of a checkpoint")
    return run_folder / row.path


def verify(run_folder: Path, row: CheckpointRow, hashed: str | None = "") -> None:
    """Check the manifest against the row, and every file's size against the manifest. CheckpointError names the fault.

    The sha256 of files is checked too, of those whose names begin with `hashed` (None: of none).
    """
    folder = folder_of(run_folder, row)
    try:
        if not (folder / MANIFEST).is_file():
            raise CheckpointError(f"{row.path}/{MANIFEST} is missing")
        if file_sha256(folder / MANIFEST) != row.manifest_sha256:
            raise CheckpointError(f"{row.path}/{MANIFEST} is damaged: its sha256 is not the one in the store")
        for name, facts in manifest_of(folder)["files"].items():
            path = folder / name
            if not path.is_file():
                raise CheckpointError(f"{row.path}/{name} is missing")
            is_read = hashed is not None and name.startswith(hashed)
            if path.stat().st_size != facts["size"] or (is_read and file_sha256(path) != facts["sha256"]):
                raise CheckpointError(f"{row.path}/{name} is damaged: size or sha256 differs from the manifest")
    except (OSError, KeyError) as error:
        raise CheckpointError(f"{row.path} cannot be read: {error}") from error


def manifest_of(folder: Path) -> Mapping[str, Any]:
    """What a checkpoint's manifest says. CheckpointError if it says nothing of the kind."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: {error}") from error
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not all(isinstance(facts, dict) for facts in files.values()):
        raise CheckpointError(f"{folder / MANIFEST} is no manifest of a checkpoint")
    return dict(found)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
