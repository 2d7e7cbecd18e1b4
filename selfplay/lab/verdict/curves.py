"""Curves of an experiment: what its arms had found by how much was spent, for the second picture of its page.

What is drawn is declared here and worked out from rows; how it is drawn is in picture.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfplay.lab.rows import Row
from selfplay.lab.verdict.intervals import intervals
from selfplay.lab.verdict.measures import Unit, Way, acc_t1, found_by, from_metrics, of, vote
from selfplay.lab.verdict.views import Cells, NotMeasured, Statistic, Values, cell_views


@dataclass(frozen=True, slots=True)
class Line:
    """Of one arm: `measure` makes of a panel's places the statistic that gives a value at each. `has_band`: with its
    95% interval."""

    label: str
    arm: str
    measure: Callable[[Sequence[int]], Statistic]
    has_band: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """What an arm reaches at one cost only: a horizontal line, with a dot at that cost where it is known."""

    label: str
    arm: str
    measure: Statistic
    cost: Statistic | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines and levels over rising `places`. Labels mean the same in all panels of a picture, and look alike there."""

    title: str
    axis: str
    places: Sequence[int]
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class Curves:
    """A picture of panels, side by side. `caption`: the paragraph below it."""

    title: str
    panels: tuple[Panel, ...]
    caption: str = ""

    @property
    def arms(self) -> set[str]:
        """Whose rows it is drawn from."""
        lines = {line.arm for panel in self.panels for line in panel.lines}
        return lines | {level.arm for panel in self.panels for level in panel.levels}


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """`values` [P] at the places of the panel, and the bounds of their 95% interval, [P] each, or None."""

    label: str
    values: Values
    band: tuple[Values, Values] | None


@dataclass(frozen=True, slots=True)
class DrawnLevel:
    """`cost`: None where it is not known."""

    label: str
    value: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class DrawnPanel:
    """A panel with the lines and levels whose arms have rows that measure them."""

    panel: Panel
    lines: tuple[DrawnLine, ...]
    levels: tuple[DrawnLevel, ...]


def drawn_panels(curves: Curves, rows: Sequence[Row], sets: Sequence[str] = ()) -> list[DrawnPanel]:
    """Every panel with its values, means over the seeds that an arm has; panels without any line are left out.

    ValueError as in `cell_views`.
    """
    cells = cell_views(rows, sets)
    panels = [
        DrawnPanel(
            panel,
            tuple(drawn for line in panel.lines if (drawn := _line(line, panel.places, cells))),
            tuple(found for level in panel.levels if (found := _level(level, cells))),
        )
        for panel in curves.panels
    ]
    return [panel for panel in panels if panel.lines]


def search_curves(budget: int, most_nodes: int, arms: Sequence[str], sampled: str) -> Curves:
    """Accuracy of searches against tokens and against steps, up to `budget` and `most_nodes` a problem.

    `arms`: whose searches are drawn, the last one with its band. `sampled`: the arm whose best-of-N, self-consistency
    and greedy answers are drawn beside them.
    """

    def lines(unit: Unit) -> tuple[Line, ...]:
        def curve(label: str, arm: str, how: Way, has_band: bool) -> Line:
            return Line(label, arm, lambda places: found_by(how, unit, places, budget), has_band)

        found = (curve(arm, arm, "search", arm == arms[-1]) for arm in arms)
        return (curve("best-of-N", sampled, "best_of", has_band=True), *found)

    def levels(has_cost: bool) -> tuple[Level, ...]:
        return (
            Level("self-consistency", sampled, vote, from_metrics("best_of_tokens") if has_cost else None),
            Level("greedy", sampled, acc_t1, from_metrics("tokens_mean") if has_cost else None),
        )

    tokens = Panel(
        "by sampled tokens", "sampled tokens a problem", range(0, budget + 1, 2), lines("tokens"), levels(has_cost=True)
    )
    nodes = Panel(
        f"by different steps, within {budget} tokens", "different steps (nodes) a problem", range(most_nodes + 1),
        lines("nodes"), levels(has_cost=False),
    )  # fmt: skip
    read = (
        "Share of problems with a right answer by then, mean over seeds: the searches of each arm, and best-of-N, "
        f"self-consistency and greedy answers of `{sampled}` (a dot: what they cost). Bands: the 95% interval of a "
        "line alone; differences are paired, so theirs are narrower. What is not solved within "
        f"{budget} tokens is not solved in the right panel either, so its lines end flat."
    )
    return Curves("share of problems solved", (tokens, nodes), read)


def _line(line: Line, places: Sequence[int], cells: Cells) -> DrawnLine | None:
    statistic = line.measure(places)
    values = _mean(line.arm, statistic, cells)
    if values is None or not line.has_band:
        return None if values is None else DrawnLine(line.label, values, None)
    _, low, high = intervals(of(line.arm, statistic), {line.arm: cells[line.arm]})
    return DrawnLine(line.label, values, (low, high))


def _level(level: Level, cells: Cells) -> DrawnLevel | None:
    value = _mean(level.arm, level.measure, cells)
    cost = None if level.cost is None else _mean(level.arm, level.cost, cells)
    return None if value is None else DrawnLevel(level.label, float(value), None if cost is None else float(cost))


def _mean(arm: str, statistic: Statistic, cells: Cells) -> Values | None:
    """Over the seeds of an arm; None where it has no cells, or one that has not what the statistic needs."""
    if arm not in cells:
        return None
    try:
        return of(arm, statistic)(cells)
    except NotMeasured:
        return None
