"""Charts as a picture for a page or a paper, without a browser: the same records that the page draws.

Left out: nested blocks, whose texts need to be pointed at (`inspect tree -o` draws a problem's attempts).
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selfplay.view.charts.chart import Chart, Heat, Number, Series
from selfplay.view.saving import save
from selfplay.view.terminal import plain

INKS = ("#0072b2", "#d55e00", "#009e73", "#a94f8b", "#e69f00", "#56b4e9", "#6b7280", "#8a6d00", "#111827")
MOST_IN_A_ROW = 3
WINDOW = 5  # points of a running mean


def draw(charts: Sequence[Chart], path: Path) -> None:
    """Writes the charts side by side to `path`, in the format of its suffix. ValueError for another suffix."""
    columns = min(len(charts), MOST_IN_A_ROW)
    rows = math.ceil(len(charts) / columns)
    width = 8.0 if len(charts) == 1 else 4.6
    figure = Figure(figsize=(width * columns, (4.4 if len(charts) == 1 else 3.6) * rows), dpi=130, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, chart in zip(axes, charts, strict=False):
        _chart(axis, chart)
    for axis in axes[len(charts) :]:
        axis.set_axis_off()
    save(figure, path)


def _chart(axis: Axes, chart: Chart) -> None:
    axis.set_title(plain(chart.title), fontsize=11, parse_math=False)
    axis.set_xlabel(chart.x_label)
    axis.set_ylabel(chart.y_label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(integer=chart.x_range is None, nbins=6))
    if chart.is_empty:
        axis.text(0.5, 0.5, textwrap.fill(chart.empty, 40), ha="center", transform=axis.transAxes)
        return
    if chart.heat is not None:
        _heat(axis, chart.heat)
    elif chart.kind == "stack":
        x = chart.series[0].x
        columns = [[value or 0.0 for value in each.y] for each in chart.series]
        names = [plain(each.name) for each in chart.series]
        inks = [INKS[each.group % len(INKS)] for each in chart.series]
        axis.stackplot(x, *columns, labels=names, colors=inks, alpha=0.8)
    else:
        for each in chart.series:
            _line(axis, each, chart.is_smoothed)
    for mark in chart.marks:
        axis.axvline(mark.x, color="#b3261e", linewidth=0.8, linestyle=":")
    if chart.x_range is not None:
        axis.set_xlim(*chart.x_range)
    if chart.y_range is not None:
        axis.set_ylim(*chart.y_range)
    if chart.series:
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, framealpha=0.85)


def _line(axis: Axes, line: Series, is_smoothed: bool) -> None:
    ink, name = INKS[line.group % len(INKS)], plain(line.name)
    x, y = _floats(line.x), _floats(line.y)
    if line.low:
        axis.fill_between(x, _floats(line.low), _floats(line.high), color=ink, alpha=0.16, linewidth=0)
    look: dict[str, Any] = {"color": ink, "label": name}
    if line.style == "points":
        axis.plot(x, y, linestyle="", marker="o", markerfacecolor="none", **look)
    elif line.style == "stairs":
        axis.step(x, y, where="post", **look)
    elif is_smoothed and len(x) > 2 * WINDOW:
        axis.plot(x, y, color=ink, linewidth=0.8, alpha=0.3)
        axis.plot(x, _mean(line.y), linestyle="--" if line.style == "dashed" else "-", **look)
    else:
        axis.plot(x, y, linestyle="--" if line.style == "dashed" else "-", marker="o", markersize=3.5, **look)


def _heat(axis: Axes, heat: Heat) -> None:
    counts = [_floats(row) for row in heat.counts]
    edges = [*heat.rows, heat.rows[-1] + heat.row_width]
    steps = [*(x - 0.5 for x in heat.columns), heat.columns[-1] + 0.5]
    drawn = axis.pcolormesh(steps, edges, counts, cmap="Blues", vmin=0)
    axis.figure.colorbar(drawn, ax=axis, label="problems")
    for height in heat.band or ():
        axis.axhline(height, color=INKS[1], linestyle="--", linewidth=1.2)


def _floats(values: Sequence[Number]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _mean(values: Sequence[Number]) -> list[float]:
    """Mean of the last WINDOW values that were measured; NaN where this one was not."""
    found = []
    for i, value in enumerate(values):
        seen = [each for each in values[max(0, i + 1 - WINDOW) : i + 1] if each is not None]
        found.append(math.nan if value is None else sum(seen) / len(seen))
    return found
