"""summary.json and the closing table: what a run measured, computed from the store alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from curriculum.tracking.difficulty import Tracker
from selfplay.evaluation.formats import paired_change
from selfplay.metrics import (
    ACC_T1,
    ACC_T2,
    DEVICE_PEAK,
    MIXED_SHARE,
    PROPOSALS,
    SIGNAL_SHARE,
    TOKENS_COMPUTED,
    TOKENS_FLAT,
    TRAINED,
    TRAINED_CHALLENGER,
    VALID_NEW,
)
from selfplay.stats.intervals import smallest_fall
from selfplay.view.queries import settings_of, worked_seconds
from store.records import Evaluation, StepRow
from store.store import Store


def summarise(store: Store) -> dict[str, Any]:
    """The summary of a finished (or stopped) run. Keys whose data is missing are left out."""
    steps = [row for row in store.steps() if row.step > 0]
    evaluations = store.evaluations()
    full = [e for e in evaluations if e.kind == "full"]
    before = {e.set_name: e for e in full if e.step == 0}
    last = max((e.step for e in full), default=0)
    after = {e.set_name: e for e in full if e.step == last} if last > 0 else {}
    return {
        "run": store.run().name,
        "evaluation": {"before": _metrics(before), "after": _metrics(after)},
        "change": _changes(before, after),
        "change_of_all": _change_of_all(before, after),
        "smallest_fall": {name: round(smallest_fall(len(e.outcomes)), 4) for name, e in before.items()},
        "steps": len(steps),
        "seconds": round(worked_seconds(store, evaluations), 1),
        "peak_memory_bytes": max((each.peak_memory_bytes for each in store.incarnations()), default=0),
        "peak_device_bytes": int(max((r.metrics.get(DEVICE_PEAK, 0.0) for r in steps), default=0.0)),
        "tokens": {
            "computed": int(sum(r.metrics.get(TOKENS_COMPUTED, 0.0) for r in steps)),
            "flat": int(sum(r.metrics.get(TOKENS_FLAT, 0.0) for r in steps)),
        },
        "signal_share_thirds": [round(_mean(part, SIGNAL_SHARE), 4) for part in thirds(steps)],
        "mixed_share_thirds": [round(_mean(part, MIXED_SHARE), 4) for part in thirds(steps)],
        "frontier_thirds": _frontiers(store, steps),
        "challenger": _challenger(steps),
    }


def thirds(steps: Sequence[StepRow]) -> list[Sequence[StepRow]]:
    """The first, middle and last third of a run's steps."""
    n = len(steps)
    return [steps[n * i // 3 : n * (i + 1) // 3] for i in range(3)]


def _frontiers(store: Store, steps: Sequence[StepRow]) -> list[int]:
    """The frontier at the end of each third, from a fresh fold."""
    ends = {part[-1].step for part in thirds(steps) if part}
    tracker = Tracker(settings_of(store))
    found = []
    for history in store.history():
        tracker.observe(history)
        if history.step in ends:
            found.append(tracker.frontier())
    return found


def _challenger(steps: Sequence[StepRow]) -> dict[str, float]:
    first, _, last = thirds(steps)

    def valid_new(part: Sequence[StepRow]) -> float:
        return _ratio(part, VALID_NEW, PROPOSALS)

    return {
        "valid_new_share_first_third": round(valid_new(first), 4),
        "valid_new_share_last_third": round(valid_new(last), 4),
        "trained_share_last_third": round(_ratio(last, TRAINED_CHALLENGER, TRAINED), 4),
    }


def _changes(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Paired change of each set's accuracy at both turns with its 95% interval, problem by problem."""
    return {name: _both_turns(*outcomes) for name, outcomes in _paired(before, after).items()}


def _change_of_all(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> dict[str, list[float]]:
    """The same over the problems of all sets together. A small fall everywhere shows here, and in no small set."""
    paired = _paired(before, after).values()
    return _both_turns("".join(start for start, _ in paired), "".join(end for _, end in paired)) if paired else {}


def _paired(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> dict[str, tuple[str, str]]:
    """Outcomes at the start and at the end, of sets that have both of as many problems."""
    both = {name: (before[name].outcomes, after[name].outcomes) for name in after if name in before}
    return {name: (start, end) for name, (start, end) in both.items() if len(start) == len(end)}


def _both_turns(start: str, end: str) -> dict[str, list[float]]:
    return {name: [round(x, 4) for x in paired_change(start, end, turn)] for turn, name in enumerate((ACC_T1, ACC_T2))}


def _metrics(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, float]]:
    return {name: {k: round(v, 4) for k, v in e.metrics.items()} for name, e in evaluations.items()}


def _mean(part: Sequence[StepRow], name: str) -> float:
    return sum(r.metrics.get(name, 0.0) for r in part) / len(part) if part else 0.0


def _ratio(part: Sequence[StepRow], numerator: str, denominator: str) -> float:
    total = sum(r.metrics.get(denominator, 0.0) for r in part)
    return sum(r.metrics.get(numerator, 0.0) for r in part) / total if total else 0.0
