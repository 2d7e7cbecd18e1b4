"""Whether first tries get worse on a held-out set, perhaps so that second looks can mend them.

What is watched in every step is in selfplay/guards.
"""

from selfplay import metrics
from selfplay.evaluation.formats import gained_and_lost, paired_change
from selfplay.stats.intervals import mcnemar

FELL_BY = 0.02  # two points of accuracy
CHANCE = 0.05  # an alarm is raised where chance would do as much in fewer cases than this


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
