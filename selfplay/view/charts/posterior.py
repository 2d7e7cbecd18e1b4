"""What the curriculum believed of one problem, over the versions of the policy."""

from curriculum.tracking.posterior import Counts
from selfplay.stats.intervals import beta_interval
from selfplay.view.charts.chart import Chart, Series, series
from store.overview.records import Measured

_WEIGHT_OF_FAMILY = 2.0  # attempts: the most that a family's rate weighs in a problem's (`Tracker._prior_strength`)


def posterior(rows: list[Measured], forgetting: float) -> Chart:
    """The posterior mean as stored after each step that tried the problem, with a 95% band, and what was measured.

    The band is that of a Beta of this mean, as heavy as the problem's discounted attempts and two more, which are the
    most that its family weighs.
    """
    counts, lows, highs, means = Counts(), [], [], []
    for row in rows:
        counts.add(row.successes, row.attempts - row.successes, row.policy_version, forgetting)
        means.append(row.rate)
        weight = counts.hits + counts.misses + _WEIGHT_OF_FAMILY
        low, high = (None, None) if row.rate is None else beta_interval(row.rate, weight)
        lows.append(low)
        highs.append(high)
    x = tuple(float(row.policy_version) for row in rows)
    believed = Series("believed", x, tuple(means), 0, low=tuple(lows), high=tuple(highs))
    tried = [(float(row.policy_version), row.successes / row.attempts) for row in rows if row.attempts]
    notes = tuple(f"{row.successes} of {row.attempts} right, in step {row.step}" for row in rows if row.attempts)
    return Chart(
        key="posterior",
        title="How often it is solved",
        help="Points: share of right first tries each time it was tried. Line: what the curriculum believed "
        "afterwards, "
        "which also knows the problem's family and forgets old attempts; shaded: 95% of that belief.",
        y_label="pass rate",
        x_label="policy version",
        y_range=(0.0, 1.0),
        series=(believed, series("measured", tried, 1, style="points", notes=notes)),
        empty="It was not tried yet.",
    )
