"""What was measured, line by line: one for each step and one for each evaluation, read from the store.

metrics.jsonl has these lines, and experiment trackers are sent them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from store.records import Evaluation, StepRow
from store.store import Store


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of a step, or of an evaluation. `kind`: full or interim, "" of a step. `time`: ISO 8601, UTC; None
    before schema 0006."""

    step: int
    time: str | None
    kind: str
    figures: Mapping[str, float]

    def as_json(self) -> str:
        """{"step": n, "time": "2026-01-31T12:00:00+00:00", "loss/policy": ..., ...}"""
        head = {"step": self.step, "time": self.time} | ({"kind": self.kind} if self.kind else {})
        return json.dumps({**head, **self.figures})


def step_line(row: StepRow) -> Line:
    return Line(row.step, row.committed_at, "", {"seconds": round(row.seconds, 3), **row.metrics})


def evaluation_line(evaluation: Evaluation) -> Line:
    named = {f"eval/{evaluation.set_name}/{name}": value for name, value in evaluation.metrics.items()}
    return Line(evaluation.step, evaluation.committed_at, evaluation.kind, named)


def lines(steps: Iterable[StepRow], evaluations: Iterable[Evaluation]) -> Iterator[Line]:
    """Steps in order, each followed by its evaluations. The start has no line of its own."""
    by_step: dict[int, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_step.setdefault(evaluation.step, []).append(evaluation)
    for row in steps:
        if row.step > 0:
            yield step_line(row)
        for evaluation in by_step.get(row.step, ()):
            yield evaluation_line(evaluation)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a store's lines have been read: `told` lines of `step`, and all of those before it."""

    step: int = 0
    told: int = 0


def read_on(store: Store, position: Position, most_steps: int) -> tuple[list[Line], Position]:
    """The lines behind `position`, of `most_steps` steps at most, and how far they reach.

    A run adds lines at its end alone, so what was read once is not read again. Steps are read before evaluations: a
    step that is there has all evaluations of those before it.
    """
    rows = store.steps(after=position.step - 1, until=position.step + most_steps)
    reached = rows[-1].step if rows else position.step
    recent = [each for each in store.evaluations() if position.step <= each.step <= reached]
    found = list(lines(rows, recent))
    num_last = sum(line.step == reached for line in found)
    return found[position.told :], Position(reached, num_last)
