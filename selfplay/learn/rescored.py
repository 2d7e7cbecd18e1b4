"""A step's trained tokens as a later policy sees them: a small file beside the run, which the page reads.

    RUN/rescored/step_000012_by_000040.json    the tokens of step 12's journal under the weights of step 40

It is of one journal, by its digest. Nothing of a run depends on it, so it may be deleted.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfplay.machine.files import write_whole

FOLDER = "rescored"
_NAME = re.compile(r"step_(\d{6,})_by_(\d{6,})\.json")
_LARGEST = 50_000_000  # bytes: what is larger was not written here


@dataclass(frozen=True, slots=True)
class Rescored:
    """`logprobs` [M]: of the trained tokens of step `step`'s journal, in its order, under the weights of step `by`; of
    the distributions that they were drawn from. NaN: not a number there."""

    step: int
    by: int
    journal_sha256: str
    logprobs: Sequence[float]


def write(folder: Path, rescored: Rescored) -> Path:
    """Into the run's folder `folder`. Returns the file."""
    path = folder / FOLDER / f"step_{rescored.step:06d}_by_{rescored.by:06d}.json"
    path.parent.mkdir(exist_ok=True)
    values = [None if math.isnan(value) else round(value, 6) for value in rescored.logprobs]
    write_whole(path, [json.dumps({"journal_sha256": rescored.journal_sha256, "logprobs": values}) + "\n"])
    return path


def newest(folder: Path, step: int, journal_sha256: str, num_tokens: int) -> Rescored | None:
    """The latest policy's of a step, by its journal. None where there is none that is of this journal: a file may be
    anybody's."""
    named = [(path, _NAME.fullmatch(path.name)) for path in (folder / FOLDER).glob("*.json")]
    found = [(int(name[2]), path) for path, name in named if name is not None and int(name[1]) == step]
    for by, path in sorted(found, reverse=True):
        logprobs = _read(path, journal_sha256, num_tokens)
        if logprobs is not None:
            return Rescored(step, by, journal_sha256, logprobs)
    return None


def _read(path: Path, journal_sha256: str, num_tokens: int) -> list[float] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        stored = json.loads(path.read_text())
        if stored["journal_sha256"] != journal_sha256 or len(stored["logprobs"]) != num_tokens:
            return None
        return [math.nan if value is None else float(value) for value in stored["logprobs"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
