"""The pictures of an experiment: a dot with its interval for every arm, what moved over training, curves against what
was spent, and calibration."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selfplay.lab.experiments.experiment import Column, Experiment
from selfplay.lab.pages.findings import ArmFindings, Findings
from selfplay.lab.rows import Row
from selfplay.lab.verdict.curves import DrawnPanel
from selfplay.stats.calibration import Bin
from selfplay.view.picture import BLUE, GREEN, PURPLE, RED

COLOURS = (BLUE, RED, GREEN, PURPLE, "#e69f00", "#56b4e9", "#000000", "#999999")  # Okabe and Ito
LINES: tuple[Any, ...] = ("-", "--", ":", "-.")
Points = Sequence[tuple[int, float]]


def draw(experiment: Experiment, findings: Findings, path: Path) -> None:
    """Write a PNG. Left: the plotted column of each arm, seeds faint. Right: series, where any arm has them."""
    lines = series_lines(experiment, findings)
    column = next((c for c in experiment.columns if c.title == experiment.plotted), experiment.columns[0])
    figure = Figure(figsize=(14 if lines else 8, 1.8 + 0.42 * len(findings.arms) + (1.2 if lines else 0)), dpi=110,
                    layout="constrained")  # fmt: skip
    figure.suptitle(experiment.title, fontsize=14, fontweight="bold", parse_math=False)
    axes = list(figure.subplots(1, 2 if lines else 1, squeeze=False).flat)
    _dots(axes[0], column, findings.arms)
    if lines:
        _series(axes[1], lines)
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", metadata={"Software": None})


def series_lines(experiment: Experiment, findings: Findings) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """{(arm, metric): [(step, mean over seeds and sets)]} of the arms to be drawn, where there are points."""
    arms = experiment.series_arms or experiment.gated
    rows = {arm: findings.arms[arm].rows for arm in arms if arm in findings.arms}
    found = {(a, m): _mean_points(rows[a], m, experiment.sets) for a in rows for m in experiment.series}
    return {key: points for key, points in found.items() if points}


def draw_reliability(panels: Sequence[tuple[str, Sequence[Bin]]], path: Path) -> None:
    """A PNG with a reliability diagram for each (title, bins): on the diagonal, what is said is what is true."""
    columns = min(4, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(3.4 * columns, 3.5 * rows), dpi=110, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axis, (title, bins) in zip(axes, panels, strict=False):
        total = sum(each.n for each in bins) or 1
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.9, linestyle=":")
        axis.plot([b.confidence for b in bins], [b.accuracy for b in bins], color=BLUE, linewidth=1, alpha=0.5)
        areas = [20 + 600 * b.n / total for b in bins]
        axis.scatter([b.confidence for b in bins], [b.accuracy for b in bins], s=areas, color=BLUE, alpha=0.6)
        axis.set_title(title, fontsize=11, parse_math=False)
        axis.set_xlim(-0.03, 1.03)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[max(0, len(panels) - columns) : len(panels)]:  # shared axes label the last row only, full or not
        axis.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel("stated confidence", fontsize=10)
    figure.supylabel("share right (size: how often it was said)", fontsize=10)
    figure.savefig(path, format="png")


def draw_curves(title: str, panels: Sequence[DrawnPanel], path: Path) -> None:
    """A PNG with the panels side by side, to one vertical scale, and one legend for all of them, on the right."""
    colours = _colours(panels)
    figure = Figure(figsize=(2.2 + 5.4 * len(panels), 4.6), dpi=110, layout="constrained")
    axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False).flat)
    for axis, panel in zip(axes, panels, strict=True):
        _curve_panel(axis, panel, colours)
    axes[0].set_ylim(bottom=0.0)
    axes[0].set_ylabel(title, parse_math=False)
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=9, frameon=False)
    figure.savefig(path, format="png", metadata={"Software": None})


def _colours(panels: Sequence[DrawnPanel]) -> dict[str, str]:
    """A colour for each label: lines take them from the front, levels from the back, where the greys are."""
    lines = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    levels = dict.fromkeys(level.label for panel in panels for level in panel.levels)
    found = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(lines)}
    return found | {label: COLOURS[-1 - i % len(COLOURS)] for i, label in enumerate(levels)}


def _curve_panel(axis: Axes, panel: DrawnPanel, colours: Mapping[str, str]) -> None:
    """Lines with a band are thick, and lie below the thin ones, which would be hidden otherwise."""
    places = panel.panel.places
    for line in panel.lines:
        colour = colours[line.label]
        if line.band is not None:
            axis.fill_between(places, *line.band, color=colour, alpha=0.15, linewidth=0)
        width, depth = (1.1, 3.0) if line.band is None else (2.4, 2.5)
        axis.plot(places, line.values, label=line.label, color=colour, linewidth=width, zorder=depth)
    for level in panel.levels:
        colour = colours[level.label]
        axis.axhline(level.value, label=level.label, color=colour, linewidth=1.2, linestyle="--")
        if level.cost is not None:
            axis.plot([level.cost], [level.value], color=colour, marker="o", markersize=6)
    axis.set_title(panel.panel.title, fontsize=11, parse_math=False)
    axis.set_xlabel(panel.panel.axis, parse_math=False)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _dots(axis: Axes, column: Column, arms: Mapping[str, ArmFindings]) -> None:
    for place, (_, arm) in enumerate(arms.items()):
        value, low, high = arm.figures[column.title]
        if not all(map(math.isfinite, (value, low, high))):
            continue
        seeds = [values[column.title] for values in arm.per_seed.values()]
        axis.plot(seeds, [place] * len(seeds), color=BLUE, marker="|", linestyle="", markersize=9, alpha=0.5)
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axis.errorbar([value], [place], xerr=reach, color=BLUE, fmt="o", markersize=6, capsize=3)
    if column.is_signed:
        axis.axvline(0.0, color="grey", linewidth=0.9, linestyle=":")
    axis.set_yticks(range(len(arms)), list(arms), parse_math=False)
    axis.set_ylim(max(len(arms), 1) - 0.5, -0.5)
    axis.set_title(f"{column.title}: mean, 95% interval, each seed", fontsize=11, parse_math=False)


def _series(axis: Axes, lines: Mapping[tuple[str, str], Points]) -> None:
    """One colour an arm, one kind of line a metric."""
    arms = list(dict.fromkeys(arm for arm, _ in lines))
    metrics = list(dict.fromkeys(metric for _, metric in lines))
    for (arm, metric), points in lines.items():
        axis.plot(
            *zip(*points, strict=True), label=f"{arm}, {metric}", linewidth=1.8,
            color=COLOURS[arms.index(arm) % len(COLOURS)], linestyle=LINES[metrics.index(metric) % len(LINES)],
        )  # fmt: skip
    axis.set_title(f"{', '.join(metrics)} over training, mean of seeds", fontsize=11, parse_math=False)
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _mean_points(rows: Sequence[Row], metric: str, sets: Sequence[str]) -> list[tuple[int, float]]:
    """Over seeds and sets, at the steps that all of them have; of two values at a step the later one counts."""
    series = [
        dict(by_metric[metric])
        for row in rows
        for name, by_metric in sorted(row.series.items())
        if metric in by_metric and (not sets or name in sets)
    ]
    steps = sorted(set.intersection(*map(set, series))) if series else []
    return [(step, sum(each[step] for each in series) / len(series)) for step in steps]
