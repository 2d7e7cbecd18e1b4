"""What the curriculum foretold of one problem, over the versions of the policy."""

from curriculum.tracking.difficulty import MOST_STRENGTH, TRIED_STRENGTH
from curriculum.tracking.posterior import Counts
from selfplay.stats.intervals import beta_interval
from selfplay.view.charts.chart import Chart, Series, series
from store.overview.records import Measured


def posterior(rows: list[Measured], forgetting: float) -> Chart:
    """The pass rate as foretold after each step that tried the problem, with a 95% band, and what was measured.

    The band is that of the Beta of `Tracker.forecast`: its mean is the stored rate, and it weighs min(s + n, 4) tries,
    of the problem's discounted n. Its family's s <= 2 is not stored, so it is taken for 2.
    """
    counts, lows, highs, means = Counts(), [], [], []
    for row in rows:
        counts.add(row.successes, row.attempts - row.successes, row.policy_version, forgetting)
        means.append(row.rate)
        weight = min(MOST_STRENGTH + counts.hits + counts.misses, TRIED_STRENGTH)
        low, high = (None, None) if row.rate is None else beta_interval(row.rate, weight)
        lows.append(low)
        highs.append(high)
    x = tuple(float(row.policy_version) for row in rows)
    foretold = Series("foretold", x, tuple(means), 0, low=tuple(lows), high=tuple(highs))
    tried = [(float(row.policy_version), row.successes / row.attempts) for row in rows if row.attempts]
    notes = tuple(f"{row.successes} of {row.attempts} right, in step {row.step}" for row in rows if row.attempts)
    return Chart(
        key="posterior",
        title="How often it is solved",
        help="Points: share of right first tries each time it was tried. Line: the pass rate that the curriculum "
        "foretold afterwards, from these tries, the problem's family and what practice gains; shaded: 95% of what it "
        "held possible.",
        y_label="pass rate",
        x_label="policy version",
        y_range=(0.0, 1.0),
        series=(foretold, series("measured", tried, 1, style="points", notes=notes)),
        empty="It was not tried yet.",
    )
