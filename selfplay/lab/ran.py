"""Figures of a whole run that pages compare: how its groups came out, what was foretold of them, when formats went.

They are worked out from the store when a cell is done. What a run has not (no challenger, no probes) is left out.
"""

from collections.abc import Mapping
from statistics import median

from curriculum.settings import CurriculumSettings
from curriculum.tracking.forecasts import scored, scores
from selfplay import metrics
from store.store import Store

MOST = 0.8  # a format's share, from which on the others are as good as gone
NAMES = (
    "signal_run", "median_rate", "foretold_coverage", "first_over_80", "unique_share", "valid_share", "top_level",
    "picked_step",
)  # fmt: skip
PICKED = "picked_acc_t1"  # of each set: accuracy of the weights that the run's probes picked


def figures_of_run(store: Store, settings: CurriculumSettings) -> dict[str, float]:
    """Some of NAMES.

    signal_run    share of groups whose first tries were paid differently, over all steps
    median_rate   median pass rate of a group
    foretold_coverage   share of groups within their 90% interval, foretold before their step
    first_over_80 the first step in which a format had more than MOST of the first tries; one step after the last: none
    unique_share  of the challenger's proposals that are problems, the share that was new
    valid_share   share of its proposals that are problems, known or not
    top_level     mean level of what was posed in the last 20 steps
    picked_step   whose weights the run's probes picked
    """
    steps = [step for step in store.steps() if step.step > 0]
    mixed = [step.metrics[metrics.MIXED_SHARE] for step in steps if metrics.MIXED_SHARE in step.metrics]
    found: dict[str, float] = {"signal_run": sum(mixed) / len(mixed)} if mixed else {}
    groups = list(scored(store.history(), settings))
    whole = scores(groups)
    if whole is not None:
        found["median_rate"] = median(each.right / each.tries for each in groups)
        found["foretold_coverage"] = whole.coverage
    most = [(step.step, step.metrics[metrics.FORMAT_MOST]) for step in steps if metrics.FORMAT_MOST in step.metrics]
    if most:
        over = (number for number, share in most if share > MOST)
        found["first_over_80"] = float(next(over, steps[-1].step + 1))
    levels = [step.metrics[metrics.LEVEL_MEAN] for step in steps[-20:] if metrics.LEVEL_MEAN in step.metrics]
    if levels:
        found["top_level"] = sum(levels) / len(levels)
    picks = store.picks()
    if picks:
        found["picked_step"] = float(picks[-1].best_step)
    return found | _proposed([step.metrics for step in steps])


def picked_accuracy(store: Store) -> dict[str, float]:
    """{set: accuracy of first tries, greedy, of the weights that the probes picked}; {} without picks.

    Of the evaluation that was made at that step: a cell has to evaluate whenever it compares.
    """
    picks = store.picks()
    if not picks:
        return {}
    best = picks[-1].best_step
    at_best = [each for each in store.evaluations() if each.step == best and metrics.ACC_T1 in each.metrics]
    return {each.set_name: each.metrics[metrics.ACC_T1] for each in at_best}


def _proposed(steps: list[Mapping[str, float]]) -> dict[str, float]:
    made = sum(step.get(metrics.PROPOSALS, 0.0) for step in steps)
    new = sum(step.get(metrics.VALID_NEW, 0.0) for step in steps)
    readable = sum(step.get(metrics.PROPOSALS, 0.0) * step.get(metrics.READABLE_PROPOSALS, 0.0) for step in steps)
    if made == 0:
        return {}
    return {"valid_share": readable / made} | ({"unique_share": new / readable} if readable else {})
