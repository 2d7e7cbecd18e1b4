"""First tries against second looks: what was mended, what was broken, and what is left of that."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from selfplay import metrics
from selfplay.stats.intervals import paired_interval, t95, wilson
from selfplay.view.charts.chart import Chart, Number, Series, series
from selfplay.view.charts.source import Source
from store.overview.records import Measured

KEY = "correction"
MENDED, BROKEN, DELTA = "mended", "broken", "change by the second look (Delta)"
MOST_POINTS = 20
_READ = (
    "Mended: wrong at first, right after the second look. Broken: the reverse. Delta, dashed, is mended less broken: "
    "above 0 second looks help."
)
_Point = tuple[float, float, float, float]  # x, share, low, high


def has_second_looks(source: Source, set_name: str) -> bool:
    """Whether an evaluation of this held-out set took second looks."""
    return any(each.set_name == set_name and metrics.DELTA in each.metrics for each in source.evaluations)


def in_training(source: Source, run: str = "", group: int = 0) -> Chart:
    """Of the attempts that were practised, with 95% intervals. `run`: in front of the name, where runs are compared, of
    which Delta alone is drawn."""
    by_step: dict[int, list[Measured]] = defaultdict(list)
    for row in source.measured:
        if _looks(row):
            by_step[row.step].append(row)
    span = max(1, -(-len(by_step) // MOST_POINTS))
    steps = list(by_step)
    parts = [steps[at : at + span] for at in range(0, len(steps), span)]
    pooled = [(part[-1], [row for step in part for row in by_step[step]]) for part in parts]
    together = f" Each point is of {span} steps together, and stands at the last of them." if span > 1 else ""
    return Chart(
        key=KEY,
        title="Second looks in training",
        help=f"Share of the attempts of each step. {_READ} 95% intervals take what was said of one problem in a step "
        f"for one observation.{together}",
        y_label="share of attempts",
        series=_lines([[(step, *_interval(rows, what)) for step, rows in pooled] for what in _SIGNS], run, group),
        empty="No second look was taken.",
    )


def held_out(source: Source, set_name: str) -> Chart:
    """Of one held-out set, greedily, with 95% intervals: Wilson's of shares, Tango's of Delta."""
    rows = [each for each in source.evaluations if each.set_name == set_name and metrics.DELTA in each.metrics]
    shares: list[list[_Point]] = []
    for name in (metrics.I2C, metrics.C2I):
        found = [(each.step, each.metrics[name], each.metrics.get(metrics.N, 0.0)) for each in rows]
        shares.append([(step, share, *wilson(share * n, n)) for step, share, n in found])
    low, high = metrics.low(metrics.DELTA), metrics.high(metrics.DELTA)
    delta = [(each.step, each.metrics[metrics.DELTA], each.metrics[low], each.metrics[high]) for each in rows]
    return Chart(
        key=KEY,
        title=f"Second looks at {set_name}",
        help=f"Share of these held-out problems, greedily answered. {_READ} Shaded: 95% interval.",
        y_label="share of problems",
        series=_lines([*shares, delta], "", 0),
        empty="No second look was taken at this set.",
    )


_SIGNS = ((1, 0), (0, 1), (1, -1))  # what a mended and a broken attempt count, of mended, broken and Delta


def _lines(drawn: Sequence[Sequence[_Point]], run: str, group: int) -> tuple[Series, ...]:
    names = (MENDED, BROKEN, DELTA)
    kept = list(zip(names, drawn, range(3), strict=True))[2 if run else 0 :]
    return tuple(
        series(
            f"{run}: {name}" if run else name,
            [(x, share) for x, share, _, _ in points],
            group if run else place,
            style="dashed" if name == DELTA and not run else "solid",
            low=tuple[Number, ...](low for _, _, low, _ in points),
            high=tuple[Number, ...](high for _, _, _, high in points),
        )
        for name, points, place in kept
        if points
    )


def _interval(rows: Sequence[Measured], signs: tuple[int, int]) -> tuple[float, float, float]:
    """(share, low, high) of attempts, over groups of attempts at one problem, which are alike and no independent tries.

    Delta: r = sum d / sum n, with the standard error sqrt(G / (G - 1) sum (d - r n)^2) / sum n of a ratio and Student's
    t for G - 1 degrees of freedom (Cochran 1977, Sampling Techniques, 6.3). A share, and a Delta that is the same in
    every group: as for G tries, which leaves a width.
    """
    sizes = np.array([_looks(row) for row in rows], dtype=float)
    changes = np.array([signs[0] * row.fixed + signs[1] * row.broken for row in rows], dtype=float)
    number, share = len(rows), float(changes.sum() / sizes.sum())
    if min(signs) == 0:
        return share, *wilson(share * number, number)
    left = changes - share * sizes
    if number < 2 or not left.any():
        gained, lost = round(max(share, 0.0) * number), round(max(-share, 0.0) * number)
        _, low, high = paired_interval(gained, lost, number)
        return share, min(low, share), max(high, share)
    error = float(np.sqrt(number / (number - 1) * (left**2).sum()) / sizes.sum())
    half = float(t95(number - 1)) * error
    return share, max(-1.0, share - half), min(1.0, share + half)


def _looks(row: Measured) -> int:
    return row.kept + row.broken + row.fixed + row.missed
