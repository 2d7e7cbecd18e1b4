"""What went wrong on the way: the alarms of a run, at the steps where each began."""

from collections.abc import Iterator

from selfplay import metrics
from selfplay.evaluation.alarms import WATCHED_STEPS, collapses
from selfplay.view.charts.chart import Mark
from selfplay.view.charts.source import Source

COPIED_STEPS = 5  # in a row, as on the terminal: a single step of copies is chance
MOST_CANARIES = 0.01
MOST_GAP = 0.05  # nats


def alarms(source: Source) -> tuple[Mark, ...]:
    """Each alarm at the step where it began, in order. docs/metrics.md says what each of them means."""
    found = [*_forgetting(source), *_collapses(source), *_flags(source)]
    return tuple(sorted(found, key=lambda mark: mark.x))


def _forgetting(source: Source) -> Iterator[Mark]:
    for each in source.evaluations:
        if each.metrics.get(metrics.FIRST_TRY_ALARM):
            change = metrics.shown(each.metrics, metrics.FIRST_TRY_CHANGE)
            yield Mark(each.step, f"first tries at {each.set_name} fell since the start ({change})")


def _collapses(source: Source) -> Iterator[Mark]:
    figures = [row.metrics for row in source.steps]
    said: set[str] = set()
    for i, row in enumerate(source.steps):
        now = {each.what: each for each in collapses(figures[max(0, i + 1 - WATCHED_STEPS) : i + 1])}
        for what in now.keys() - said:
            share = now[what]
            yield Mark(row.step, f"fewer {what} can be read ({share.now:.2f}, once {share.once:.2f}): it may collapse")
        said = set(now)


def _flags(source: Source) -> Iterator[Mark]:
    """Figures of single steps that are too high: said where this begins."""
    rules = (
        (metrics.COPIES, 0.5, COPIED_STEPS, "second looks only copy wrong answers"),
        (metrics.CANARY_FALSE_POSITIVES, MOST_CANARIES, 1, "the judge takes answers that are wrong for sure for right"),
        (metrics.JUDGE_ERRORS, 0.0, 1, "the judge or a reward failed on some answers"),
        (metrics.MISMATCH_MEAN, MOST_GAP, 1, "sampler and trainer disagree on log-probabilities"),
    )
    for name, most, patience, text in rules:
        in_a_row = 0
        for row in source.steps:
            in_a_row = in_a_row + 1 if row.metrics.get(name, 0.0) > most else 0
            if in_a_row == patience:
                yield Mark(row.step, text)
