"""Held-out accuracy over steps: what a run is for."""

from selfplay import metrics
from selfplay.view.charts.chart import Chart, Number, Series
from selfplay.view.charts.figures import turn_name
from selfplay.view.charts.source import Source
from store.records import Evaluation

TURNS = ((metrics.ACC_T1, turn_name(0), "solid"), (metrics.ACC_T2, turn_name(1), "dashed"))


def set_names(source: Source) -> list[str]:
    """The held-out sets that were evaluated, by name."""
    return sorted({each.set_name for each in source.evaluations})


def evaluation(source: Source, set_name: str, run: str = "", group: int = 0) -> Chart:
    """Both turns of one held-out set, with 95% intervals. `run`: in front of the names, where runs are compared."""
    rows = [each for each in source.evaluations if each.set_name == set_name]
    turns = "the first answer (solid) and the answer after a second look (dashed)"
    has_second = any(metrics.ACC_T2 in each.metrics for each in rows)
    drawn = [_turn(rows, name, said, style, run, group) for name, said, style in TURNS]
    return Chart(
        key="evaluation",
        title=set_name,
        help=f"Share of these held-out problems solved, greedily{': ' + turns if has_second else ''}. Shaded: 95% "
        "interval.",
        y_label="share right",
        y_range=(0.0, 1.0),
        series=tuple(each for each in drawn if each.x),
        empty="This set was not evaluated yet.",
    )


def _turn(rows: list[Evaluation], name: str, said: str, style: str, run: str, group: int) -> Series:
    kept = [row for row in rows if name in row.metrics]

    def column(figure: str) -> tuple[Number, ...]:
        return tuple(row.metrics.get(figure) for row in kept)

    is_crowded = run != "" and style == "dashed"  # of compared runs, first tries alone have intervals
    return Series(
        name=f"{run}: {said}" if run else said,
        x=tuple(row.step for row in kept),
        y=column(name),
        group=group if run else int(style == "dashed"),
        style="dashed" if style == "dashed" else "solid",
        low=() if is_crowded else column(metrics.low(name)),
        high=() if is_crowded else column(metrics.high(name)),
        notes=tuple(f"{row.metrics.get(metrics.N, 0):.0f} problems, {row.kind} evaluation" for row in kept),
    )
