"""One picture of a run: held-out accuracy with its intervals, and what the curriculum did meanwhile.

It is drawn without pyplot, which would need a display and keep state in the process. Left out: interaction.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from curriculum.tracking.difficulty import Tracker
from selfplay import metrics
from selfplay.config.stored import config_of, what_was_run
from selfplay.view.queries import settings_of
from selfplay.view.saving import save
from selfplay.view.terminal import plain
from store.records import Evaluation, StepRow
from store.store import Store

BLUE, RED, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"  # Okabe and Ito: safe for the colour-blind
SETS_IN_A_ROW = 5
WANTED_SIGNAL = 0.4  # below this share of groups with a signal, most of the sampling teaches nothing
SMOOTHED = 5


def draw(store: Store, path: Path) -> None:
    """Write a picture of the run to `path`, in the format that its suffix names; ValueError for another suffix."""
    steps = [row for row in store.steps() if row.step > 0]
    evaluations = store.evaluations()
    names = sorted({each.set_name for each in evaluations})
    num_rows = max(1, math.ceil(len(names) / SETS_IN_A_ROW))
    figure = Figure(figsize=(14, 3.4 * num_rows + 4.2), dpi=110, layout="constrained")
    title = f"{store.run().name}: {len(steps)} steps, {what_was_run(config_of(store))}"
    figure.suptitle(plain(title), fontsize=14, fontweight="bold", parse_math=False)
    parts: Any = figure.subfigures(2, 1, height_ratios=(3.2 * num_rows, 3.6))
    top, bottom = parts
    _accuracies(top, names, evaluations, max((row.step for row in steps), default=1))
    shares, difficulty = bottom.subplots(1, 2)
    _shares(shares, steps)
    _difficulty(difficulty, store, steps)
    for axis in (shares, difficulty):
        _dress(axis)
        axis.set_xlabel("step")
    save(figure, path)


def _accuracies(figure: SubFigure, names: Sequence[str], evaluations: Sequence[Evaluation], last_step: int) -> None:
    """A small picture for each set, all to one scale."""
    num_columns = min(max(len(names), 1), SETS_IN_A_ROW)
    num_rows = max(1, math.ceil(len(names) / SETS_IN_A_ROW))
    axes = list(figure.subplots(num_rows, num_columns, sharey=True, sharex=True, squeeze=False).flat)
    for axis, name in zip(axes, names, strict=False):
        _accuracy(axis, [each for each in evaluations if each.set_name == name])
        axis.set_title(plain(name), fontsize=11, parse_math=False)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlim(-0.04 * last_step, 1.04 * last_step)
        _dress(axis)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    axes[0].set_ylabel("held-out accuracy, greedy")
    if not names:
        axes[0].text(0.5, 0.5, "no evaluation yet", ha="center", transform=axes[0].transAxes)
        return
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=10)


def _accuracy(axis: Axes, evaluations: Sequence[Evaluation]) -> None:
    """First try as a line with its band, second look as diamonds with bars, where it was taken."""
    by_step = {each.step: each for each in sorted(evaluations, key=lambda each: (each.step, each.kind == "full"))}
    rows = list(by_step.values())
    x = [each.step for each in rows]
    low, high = (
        [each.metrics[end] for each in rows] for end in (metrics.low(metrics.ACC_T1), metrics.high(metrics.ACC_T1))
    )
    axis.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95% interval of the first try")
    axis.plot(
        x, [each.metrics[metrics.ACC_T1] for each in rows], color=BLUE, marker="o", markersize=4, label="first try"
    )
    looked = [each for each in rows if metrics.ACC_T2 in each.metrics]
    middle = [each.metrics[metrics.ACC_T2] for each in looked]
    reach = [
        [each.metrics[metrics.ACC_T2] - each.metrics[metrics.low(metrics.ACC_T2)] for each in looked],
        [each.metrics[metrics.high(metrics.ACC_T2)] - each.metrics[metrics.ACC_T2] for each in looked],
    ]
    axis.errorbar(
        [each.step for each in looked], middle, [[max(0.0, r) for r in part] for part in reach], color=RED,
        fmt="D", markersize=6, markerfacecolor="white", capsize=3, label="second look, 95% interval", zorder=3,
    )  # fmt: skip


def _shares(axis: Axes, steps: Sequence[StepRow]) -> None:
    """Running means of the shares that keep learning going; the share with a signal is drawn for each step too."""
    axis.set_title(f"what was posed and solved (running mean of {SMOOTHED} steps)", fontsize=11)
    x = [row.step for row in steps]
    lines = (
        ("groups with a signal", BLUE, [row.metrics.get(metrics.SIGNAL_SHARE, 0.0) for row in steps]),
        ("proposals valid and new", RED, [_valid_new(row) for row in steps]),
        ("first tries right", GREEN, [row.metrics.get(metrics.PASS_RATE, 0.0) for row in steps]),
        ("wrong first tries mended", PURPLE, [row.metrics.get(metrics.FIXED_SHARE, 0.0) for row in steps]),
    )
    axis.plot(x, lines[0][2], color=BLUE, alpha=0.3, linewidth=0.9)
    for label, colour, values in lines:
        axis.plot(x, _smooth(values), color=colour, linewidth=1.8, label=label)
    axis.axhline(WANTED_SIGNAL, color=BLUE, linewidth=0.9, linestyle=":", label=f"wanted of signals: {WANTED_SIGNAL}")
    axis.set_ylim(0, 1.3)  # room for the legend above the lines
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axis.set_ylabel("share")
    axis.legend(fontsize=8.5, ncols=2, loc="upper right", framealpha=0.85)


def _difficulty(axis: Axes, store: Store, steps: Sequence[StepRow]) -> None:
    """Frontier and mean level of what was posed, step by step, from a fresh fold."""
    axis.set_title("difficulty", fontsize=11)
    tracker = Tracker(settings_of(store))
    frontier: list[tuple[int, int]] = []
    for history in store.history():
        tracker.observe(history)
        frontier.append((history.step, tracker.frontier()))
    axis.step(*zip(*frontier, strict=True), where="post", color=BLUE, linewidth=1.8,
              label="frontier: highest level solved half the time")  # fmt: skip
    measured = [row for row in steps if metrics.LEVEL_MEAN in row.metrics]
    levels = [(row.step, row.metrics[metrics.LEVEL_MEAN]) for row in measured]
    smooth = _smooth([level for _, level in levels])
    axis.plot([step for step, _ in levels], smooth, color=RED, linewidth=1.8, label="mean level posed")
    top = max([level for _, level in frontier] + smooth + [1.0])
    axis.set_ylim(0, top * 1.3)  # room for the legend above the lines
    axis.set_ylabel("level")
    axis.legend(fontsize=8.5, loc="upper left", framealpha=0.85)


def _dress(axis: Axes) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _valid_new(row: StepRow) -> float:
    proposals = row.metrics.get(metrics.PROPOSALS, 0.0)
    return row.metrics.get(metrics.VALID_NEW, 0.0) / proposals if proposals else 0.0


def _smooth(values: Sequence[float]) -> list[float]:
    """Mean of the last SMOOTHED values."""
    return [sum(values[max(0, i - SMOOTHED + 1) : i + 1]) / min(i + 1, SMOOTHED) for i in range(len(values))]
