"""What was measured, line by line: one for each step, each evaluation and each pick, read from the store.

metrics.jsonl has these lines, and experiment trackers are sent them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from selfplay import metrics
from store.records import Evaluation, Pick, StepRow
from store.store import Store


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of a step, of an evaluation or of a comparison by probes. `kind`: "" of a step, full or interim,
    probes. `time`: ISO 8601, UTC; None before schema 0006."""

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


def pick_line(pick: Pick) -> Line:
    figures = {
        metrics.PROBES_HARD: pick.hard,
        metrics.PROBES_EASY: pick.easy,
        metrics.PROBE_HARD_SOLVED: pick.hard_solved,
        metrics.PROBE_EASY_SOLVED: pick.easy_solved,
        metrics.PROBE_PRODUCT: pick.product,
        metrics.PROBE_BEST_PRODUCT: pick.best_product,
        metrics.PROBE_BEST_STEP: pick.best_step,
        metrics.PROBE_ERROR: pick.standard_error,
        metrics.PROBE_ROLLBACK: int(pick.is_rollback),
    }
    return Line(pick.step, pick.committed_at, "probes", figures)


def lines(steps: Iterable[StepRow], evaluations: Iterable[Evaluation], picks: Iterable[Pick] = ()) -> Iterator[Line]:
    """Steps in order, each followed by its evaluations, then by its pick. The start has no line of its own."""
    picked = {pick.step: pick for pick in picks}
    by_step: dict[int, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_step.setdefault(evaluation.step, []).append(evaluation)
    for row in steps:
        if row.step > 0:
            yield step_line(row)
        for evaluation in by_step.get(row.step, ()):
            yield evaluation_line(evaluation)
        if row.step in picked:
            yield pick_line(picked[row.step])


@dataclass(frozen=True, slots=True)
class Position:
    """How far a store's lines have been read: `told` lines of `step`, and all of those before it."""

    step: int = 0
    told: int = 0


def read_on(store: Store, position: Position, most_steps: int) -> tuple[list[Line], Position]:
    """The lines behind `position`, of `most_steps` steps at most, and how far they reach.

    A run adds lines at its end alone, so what was read once is not read again. Steps are read before picks, and picks
    before evaluations: a step that is there has all evaluations of those before it, and a pick all of its own step.
    """
    rows = store.steps(after=position.step - 1, until=position.step + most_steps)
    reached = rows[-1].step if rows else position.step
    picks = store.picks()
    recent = [each for each in store.evaluations() if position.step <= each.step <= reached]
    found = list(lines(rows, recent, picks))
    num_last = sum(line.step == reached for line in found)
    return found[position.told :], Position(reached, num_last)
