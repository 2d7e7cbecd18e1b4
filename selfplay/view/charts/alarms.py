"""What went wrong on the way: the alarms of a run, at the steps where each began."""

from collections.abc import Iterator

from selfplay import metrics
from selfplay.view.charts.chart import Mark
from selfplay.view.charts.source import Source
from store.records import AlarmEvent, Evaluation

MOST_GAP = 0.05  # nats


def alarms(source: Source) -> tuple[Mark, ...]:
    """Each alarm at the step where it began, in order. docs/metrics.md says what each of them means."""
    found = [*_forgetting(source), *_raised(source), *_flags(source)]
    return tuple(sorted(found, key=lambda mark: mark.x))


def _forgetting(source: Source) -> Iterator[Mark]:
    for each in source.evaluations:
        if each.metrics.get(metrics.FIRST_TRY_ALARM):
            change = metrics.shown(each.metrics, metrics.FIRST_TRY_CHANGE)
            yield Mark(
                each.step, f"first tries at {each.set_name} fell since the start ({change}){_until(source, each)}"
            )


def _until(source: Source, fallen: Evaluation) -> str:
    """At which later evaluation of the set they were back, if they were."""
    later = [each for each in source.evaluations if each.set_name == fallen.set_name and each.step > fallen.step]
    back = [each.step for each in later if not each.metrics.get(metrics.FIRST_TRY_ALARM)]
    return f"; no longer at step {back[0]}" if back else ""


def _raised(source: Source) -> Iterator[Mark]:
    """What the guards said at the time."""
    for step, alarm in source.alarms:
        if alarm.event is AlarmEvent.RAISED:
            yield Mark(step, alarm.text)


def _flags(source: Source) -> Iterator[Mark]:
    """Figures of single steps that are too high and that no guard watches: said where this begins."""
    rules = (
        (metrics.JUDGE_ERRORS, 0.0, "the judge or a reward failed on some answers"),
        (metrics.MISMATCH_MEAN, MOST_GAP, "sampler and trainer disagree on log-probabilities"),
    )
    for name, most, text in rules:
        was_beyond = False
        for row in source.steps:
            is_beyond = row.metrics.get(name, 0.0) > most
            if is_beyond and not was_beyond:
                yield Mark(row.step, text)
            was_beyond = is_beyond
