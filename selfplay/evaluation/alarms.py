"""Ways in which a run goes wrong, watched for in every run and said on the terminal (selfplay/view/progress.py).

Forgetting, or failing on purpose: first tries get worse, perhaps so that second looks can mend them. Collapse: less and
less of what the model says can be read, as after too large a learning rate. That second looks only copy first answers
(SCoRe, arXiv 2409.12917, section 4) is a figure of the step (`copying_metrics` in selfplay/run/figures.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfplay import metrics
from selfplay.evaluation.formats import gained_and_lost, paired_change
from selfplay.stats.intervals import mcnemar
from store.records import Fate

FELL_BY = 0.02  # two points of accuracy
CHANCE = 0.05  # an alarm is raised where chance would do as much in fewer cases than this
UNREADABLE = (Fate.UNPARSED, Fate.TRUNCATED, Fate.INVALID, Fate.TOO_LARGE)
COLLAPSE_STEPS = 3  # as many steps are averaged, so that one odd step is no collapse
WATCHED_STEPS = 60  # the newest ones: what was learned long ago may be given up for something better
COLLAPSED_SHARE = 0.5  # of what could be read once


def first_try_alarm(start: str, now: str) -> dict[str, float]:
    """From `Evaluation.outcomes` of one set at step 0 and now (its first problems will do).

    first_try_change: mean change of the first try, problem by problem, with its 95% interval (_low, _high).
    alarm_first_try: 1 when it fell by more than two points, and by more than chance: at least 19 of 20 times fewer
    problems would be lost by chance (McNemar's exact test). A set of any size can raise it, by six lost problems.
    """
    mean, low, high = paired_change(start[: len(now)], now, turn=0)
    gained, lost = gained_and_lost(start[: len(now)], now, turn=0)
    has_fallen = mean < -FELL_BY and mcnemar(gained, lost) < CHANCE
    return {
        metrics.FIRST_TRY_CHANGE: mean,
        metrics.low(metrics.FIRST_TRY_CHANGE): low,
        metrics.high(metrics.FIRST_TRY_CHANGE): high,
        metrics.FIRST_TRY_ALARM: float(has_fallen),
    }


@dataclass(frozen=True, slots=True)
class Collapse:
    """Shares of `what` ("proposals" or "answers") that could be read at best, and that can be read now."""

    what: str
    once: float
    now: float


def collapses(steps: Sequence[Mapping[str, float]]) -> list[Collapse]:
    """Metrics of the newest steps, oldest first -> what can be read less than half as often now as at its best.

    Watched are the shares of the challenger's proposals that were read as problems, and of first tries that were read
    as answers. Each is a mean of three steps in a row, now and at its highest. Fewer than six steps say nothing.
    """
    found = []
    watched = {
        "proposals": map(_readable_proposals, steps),
        "answers": (step.get(metrics.STEP_PARSED) for step in steps),
    }
    for what, measured in watched.items():
        shares = [share for share in measured if share is not None]
        means = [sum(shares[i : i + COLLAPSE_STEPS]) / COLLAPSE_STEPS for i in range(len(shares) - COLLAPSE_STEPS + 1)]
        if len(shares) >= 2 * COLLAPSE_STEPS and means[-1] < COLLAPSED_SHARE * max(means):
            found.append(Collapse(what, max(means), means[-1]))
    return found


def _readable_proposals(step: Mapping[str, float]) -> float | None:
    """Share of the step's proposals that were problems of the domain, new or not; 1 where nobody proposed, None where
    that was not measured."""
    if metrics.PROPOSALS not in step:
        return None
    unread = sum(step.get(metrics.fate_count(fate), 0.0) for fate in UNREADABLE)
    return 1.0 - unread / step[metrics.PROPOSALS] if step[metrics.PROPOSALS] else 1.0
