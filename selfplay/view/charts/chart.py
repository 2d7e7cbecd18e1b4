"""A chart as a plain record: what is drawn, in numbers, and the words around it.

The page draws it in the browser, `as_rows` writes it as CSV, `drawing.py` as a picture: all from this record. Left out:
colours and sizes, which are whoever draws it's to choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["solid", "dashed", "points", "stairs"]
Kind = Literal["lines", "stack", "heat", "blocks"]
Number = float | None  # None: not measured there


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. `low` and `high` are the ends of an interval that is shaded around it; `notes` are said of a
    point when it is pointed at. Series of one `group` have one colour."""

    name: str
    x: tuple[float, ...]
    y: tuple[Number, ...]
    group: int
    style: Style = "solid"
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heat:
    """Counts by row and column. `rows` are the lower ends of bins of width `row_width`; None: there is nothing.

    `band`: two heights between which it is meant to be.
    """

    columns: tuple[float, ...]
    rows: tuple[float, ...]
    row_width: float
    counts: tuple[tuple[int | None, ...], ...]  # [rows][columns]
    band: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Blocks:
    """A tree as nested blocks: each block's size is at least the sum of its children's. `parents`: -1 of the root."""

    labels: tuple[str, ...]
    parents: tuple[int, ...]
    sizes: tuple[float, ...]
    values: tuple[Number, ...]  # by which blocks are coloured, from 0 to 1
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at an x: a line across the chart."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A whole chart. `help` says in a sentence or two what is drawn and how to read it. Nothing to draw: `empty` says
    why."""

    key: str
    title: str
    help: str
    y_label: str
    x_label: str = "step"
    kind: Kind = "lines"
    series: tuple[Series, ...] = ()
    heat: Heat | None = None
    blocks: Blocks | None = None
    marks: tuple[Mark, ...] = ()
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None  # where x is a share; None: x is a step
    is_smoothed: bool = False  # a running mean is drawn over the single values
    empty: str = "Nothing of this was measured yet."
    links: tuple[str, ...] = field(default=())  # of the blocks

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        drawn = any(value is not None for each in self.series for value in each.y)
        return not drawn and (self.heat is None or not self.heat.columns) and self.blocks is None


def series(name: str, points: Sequence[tuple[float, Number]], group: int, **more: Any) -> Series:
    """A series of (x, y)."""
    return Series(name, tuple(x for x, _ in points), tuple(y for _, y in points), group, **more)


def as_rows(chart: Chart) -> list[dict[str, Any]]:
    """The chart's data as rows of a table: one for each point, cell or block."""
    rows: list[dict[str, Any]] = []
    for each in chart.series:
        for i, (x, y) in enumerate(zip(each.x, each.y, strict=True)):
            row = {"series": each.name, chart.x_label: x, "value": y}
            rows.append(row | ({"low": each.low[i], "high": each.high[i]} if each.low else {}))
    if chart.heat is not None:
        heat = chart.heat
        for low, counts in zip(heat.rows, heat.counts, strict=True):
            for column, count in zip(heat.columns, counts, strict=True):
                edges = {"from": round(low, 6), "to": round(low + heat.row_width, 6)}
                rows.append({chart.x_label: column} | edges | {"count": count or 0})
    if chart.blocks is not None:
        b = chart.blocks
        columns = zip(b.labels, b.parents, b.sizes, b.values, strict=True)
        for i, (label, parent, size, value) in enumerate(columns):
            rows.append({"block": i, "parent": parent, "label": label, "size": size, "value": value})
    return rows
