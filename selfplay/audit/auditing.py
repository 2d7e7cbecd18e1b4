"""An audit of a run, and of two: what `python -m selfplay.inspect audit` does.

Two runs are each compared with their own start. What the numbers mean: selfplay/audit/records.py.
Source of the method: Mukherjee et al. 2025, "Reinforcement Learning Finetunes Small Subnetworks", arXiv 2505.11711.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selfplay.audit.counting import Changed
from selfplay.audit.records import Audit, Audited, Count
from selfplay.audit.sources import opened
from selfplay.audit.streaming import audited_tensors
from selfplay.train.masks import Mask, packed

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """`run`, `against`: RUN[@STEP] in `directory`, or a folder. `since`: the step whose checkpoint the first is
    compared with; 0: its start. `ranks`: also the updates' ranks. `mask`: what is marked in `Audit`'s mask, if any."""

    run: str
    against: str | None = None
    since: int = 0
    ranks: bool = True
    mask: Count | None = None
    directory: Path = Path("runs")


def audit(request: Request, note: Note) -> tuple[Audit, Mask | None]:
    """The audit, and the subnetwork that has changed where it was asked for. Raises Refused or ModelError."""
    audited, pair = opened(request.run, request.since, request.directory, note)
    against, other = None, None
    if request.against is not None:
        against, other = opened(request.against, 0, request.directory, note)
    making = _Making(request.mask)
    found = tuple(audited_tensors(pair, other, request.ranks, making.hear))
    mask = making.finished({each.name: each.shape for each in found})
    return Audit(audited, found, against), mask


def facts(audited: Audited, count: Count) -> dict[str, str]:
    """What a mask's file says of where it is from."""
    return {"run": audited.run, "step": str(audited.step), "since": str(audited.since), "count": count}


@dataclass(slots=True)
class _Making:
    """A mask out of blocks, whose bits are packed as they come: of 8 numbers a byte, whatever blocks they came in."""

    count: Count | None
    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    rest: dict[str, np.ndarray] = field(default_factory=dict)  # of each tensor, what does not fill a byte yet

    def hear(self, name: str, found: Changed) -> None:
        if self.count is None:
            return
        numbers = np.concatenate([self.rest.get(name, _NONE), getattr(found, self.count).reshape(-1)])
        whole = len(numbers) // 8 * 8
        self.parts.setdefault(name, []).append(packed(numbers[:whole]))
        self.rest[name] = numbers[whole:]

    def finished(self, shapes: dict[str, tuple[int, ...]]) -> Mask | None:
        if self.count is None:
            return None
        return Mask({name: np.concatenate([*self.parts[name], packed(self.rest[name])]) for name in shapes}, shapes)


_NONE = np.zeros(0, dtype=bool)
