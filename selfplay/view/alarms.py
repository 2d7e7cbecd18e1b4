"""What goes wrong with a run and what went wrong, read from its store: plain dictionaries for people and for --json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfplay import metrics
from selfplay.config.stored import config_of, stored_value
from selfplay.guards.thresholds import Thresholds
from store.records import Alarm, AlarmEvent, Evaluation, StepRow
from store.store import Store


def alarms(store: Store) -> dict[str, Any]:
    """`alarms`: what guards raised, oldest first, each with the step at which it was over, None while it is not.
    `format`: the first step of which one format had more than `threshold` of the first tries, None where there is
    none; and that share in the first step and in the newest. `disagreements`: turns that
    were paid by one verdict, and of which other means say the reverse. `evaluations`: where a first try fell since the
    start.
    """
    share = stored_value(config_of(store), "guards.format_share")
    threshold = Thresholds().format_share if share is None else float(share)  # None: a run of before there was a key
    return {
        "alarms": _paired(store.alarms()),
        "format": _format(store.steps(), threshold),
        "disagreements": [
            {"step": step} | asdict(each) | {"outcome": each.outcome.value} for step, each in store.disagreements()
        ],
        "evaluations": [_fallen(each) for each in store.evaluations() if each.metrics.get(metrics.FIRST_TRY_ALARM)],
    }


def _paired(said: Sequence[tuple[int, Alarm]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step, alarm in said:
        if alarm.event is AlarmEvent.RAISED:
            seen = {"figure": alarm.figure, "threshold": alarm.threshold, "text": alarm.text, "advice": alarm.advice}
            rows.append({"name": alarm.name, "step": step, "over": None, **seen})
            continue
        mine = next((row for row in rows if row["name"] == alarm.name and row["over"] is None), None)
        if mine is not None:
            mine["over"] = step
    return rows


def _format(steps: Sequence[StepRow], threshold: float) -> dict[str, Any]:
    shares = [(row.step, row.metrics[metrics.FORMAT_MOST]) for row in steps if metrics.FORMAT_MOST in row.metrics]
    passed = next((step for step, share in shares if share > threshold), None)
    ends: Mapping[str, float | None] = {
        "first": shares[0][1] if shares else None,
        "newest": shares[-1][1] if shares else None,
    }
    return {"threshold": threshold, "passed": passed, **ends}


def _fallen(evaluation: Evaluation) -> dict[str, Any]:
    change = metrics.FIRST_TRY_CHANGE
    figures = {"change": change, "low": metrics.low(change), "high": metrics.high(change)}
    return {"set": evaluation.set_name, "step": evaluation.step} | {
        name: evaluation.metrics.get(figure) for name, figure in figures.items()
    }
