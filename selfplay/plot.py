"""One picture of a run: held-out accuracy with its intervals, and what the curriculum did meanwhile."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from curriculum.difficulty import Tracker
from selfplay.looking import tracker_of
from store.records import Evaluation, StepRow
from store.store import Store

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#555555",
)  # Okabe and Ito: colour-blind safe


def draw(store: Store, path: Path) -> None:
    """Write a PNG of the run to `path`."""
    steps = [row for row in store.steps() if row.step > 0]
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.4), dpi=110, layout="constrained")
    figure.suptitle(f"{store.run().name}: {len(steps)} steps, no labelled data", fontsize=13)
    _accuracy(axes[0], store.evaluations())
    _shares(axes[1], steps)
    _frontier(axes[2], store)
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def _accuracy(axis: Axes, evaluations: Sequence[Evaluation]) -> None:
    """First try as a line with its 95% interval, second look as diamonds where it was taken."""
    axis.set_title("held-out problems, greedy", fontsize=11)
    for colour, name in zip(COLOURS, sorted({e.set_name for e in evaluations}), strict=False):
        rows = sorted((e for e in evaluations if e.set_name == name), key=lambda e: (e.step, e.kind != "full"))
        rows = [e for i, e in enumerate(rows) if i == 0 or e.step != rows[i - 1].step]
        x = [e.step for e in rows]
        axis.plot(x, [e.metrics["acc_t1"] for e in rows], color=colour, marker="o", markersize=4, label=name)
        axis.fill_between(
            x,
            [e.metrics["acc_t1_low"] for e in rows],
            [e.metrics["acc_t1_high"] for e in rows],
            color=colour,
            alpha=0.13,
        )
        looked = [e for e in rows if "acc_t2" in e.metrics]
        axis.scatter([e.step for e in looked], [e.metrics["acc_t2"] for e in looked], color=colour, marker="D", s=34,
                     facecolors="none")  # fmt: skip
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("accuracy (line: first try, diamond: second look)")
    axis.legend(fontsize=8, ncols=3, loc="lower right", framealpha=0.8)


def _shares(axis: Axes, steps: Sequence[StepRow]) -> None:
    """What kept the learning going: groups with a signal, valid and new proposals, the solver's pass rate."""
    axis.set_title("self-play, running mean of 5 steps", fontsize=11)
    lines = (
        ("groups with a signal", [s.metrics["curriculum/signal_share"] for s in steps]),
        ("proposals valid and new", [_share(s, "challenger/valid_new", "challenger/proposals") for s in steps]),
        ("first tries right", [s.metrics["solver/pass_rate"] for s in steps]),
        ("wrong first tries mended", [s.metrics["solver/fixed_share"] for s in steps]),
    )
    for colour, (label, values) in zip(COLOURS, lines, strict=False):
        axis.plot([s.step for s in steps], _smooth(values), color=colour, label=label)
    axis.axhline(0.4, color=COLOURS[0], linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 1.02)
    axis.legend(fontsize=8, loc="upper right", framealpha=0.8)


def _frontier(axis: Axes, store: Store) -> None:
    """Frontier and mean level of what was posed, step by step, from a fresh fold."""
    axis.set_title("difficulty", fontsize=11)
    tracker = Tracker(tracker_of(store).settings)
    x, frontier = [], []
    for history in store.history():
        tracker.observe(history)
        x.append(history.step)
        frontier.append(tracker.frontier())
    axis.step(x, frontier, where="post", color=COLOURS[0], label="frontier: highest level solved half the time")
    steps = [row for row in store.steps() if row.step > 0]
    axis.plot([s.step for s in steps], _smooth([s.metrics["curriculum/level_mean"] for s in steps]), color=COLOURS[1],
              label="mean level posed")  # fmt: skip
    axis.set_ylabel("level")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8, loc="lower right", framealpha=0.8)


def _share(row: StepRow, numerator: str, denominator: str) -> float:
    return row.metrics[numerator] / row.metrics[denominator] if row.metrics[denominator] else 0.0


def _smooth(values: Sequence[float], window: int = 5) -> list[float]:
    """Mean of the last `window` values."""
    return [sum(values[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(len(values))]
