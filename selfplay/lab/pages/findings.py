"""From rows to what a page says of them: judged criteria, the verdict, and every arm's figures. No text, no file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfplay.lab.experiments.experiment import Column, Experiment
from selfplay.lab.rows import Row
from selfplay.lab.verdict.criteria import Judged, Verdict, explained, judge
from selfplay.lab.verdict.intervals import interval
from selfplay.lab.verdict.measures import of
from selfplay.lab.verdict.views import Cells, CellView, NotMeasured, cell_views

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ArmFindings:
    """Of one arm, by column title: a number for each of its seeds, and (mean, low, high) over them."""

    rows: tuple[Row, ...]
    per_seed: Mapping[int, Mapping[str, float]]
    figures: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Findings:
    """`seeds`: those that every gated arm has, which the criteria are judged on.

    missing: gated cells of the experiment's own seeds that are not there. stale: cells made with other overrides than
    the experiment has now. foreign: cells of arms that it does not have, left out.
    """

    seeds: tuple[int, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    foreign: tuple[str, ...]
    criteria: tuple[Judged, ...]
    control: Judged
    verdict: Verdict
    reason: str
    arms: Mapping[str, ArmFindings]


def find(experiment: Experiment, rows: Sequence[Row]) -> Findings:
    """Judge an experiment on its rows. Figures that an arm's rows do not have are NaN; ValueError as in `cell_views`.

    Arms come in the experiment's order; an arm without rows is left out.
    """
    own = [row for row in rows if row.arm in experiment.arms]
    cells = cell_views(own, experiment.sets)
    there = [set(cells.get(arm, {})) for arm in experiment.gated]
    seeds = tuple(sorted(set.intersection(*there)))
    whole = [arm for arm in experiment.arms if seeds and set(seeds) <= set(cells.get(arm, {}))]
    shown = {arm: {seed: cells[arm][seed] for seed in seeds} for arm in whole}
    deciding = {arm: by_seed for arm, by_seed in shown.items() if experiment.arms[arm].is_gated}
    criteria = tuple(
        judge(each, deciding if each.is_gated else shown, experiment.smallest_effect) for each in experiment.criteria
    )
    control = judge(experiment.control, deciding, experiment.smallest_effect)
    word, reason = explained(criteria, control)
    return Findings(
        seeds=seeds,
        missing=tuple(f"{a}-seed{s}" for a in experiment.gated for s in experiment.seeds if s not in cells.get(a, {})),
        stale=tuple(_name(row) for row in own if tuple(row.config[1:]) != tuple(experiment.arms[row.arm].overrides)),
        foreign=tuple(_name(row) for row in rows if row.arm not in experiment.arms),
        criteria=criteria,
        control=control,
        verdict=word,
        reason=reason,
        arms={
            arm: _arm(arm, experiment.columns, cells, tuple(r for r in own if r.arm == arm))
            for arm in experiment.arms
            if arm in cells
        },
    )  # fmt: skip


def _arm(arm: str, columns: Sequence[Column], cells: Cells, rows: tuple[Row, ...]) -> ArmFindings:
    mine = {arm: cells[arm]}
    per_seed = {seed: {c.title: _value(c, view) for c in columns} for seed, view in sorted(cells[arm].items())}
    figures = {
        c.title: (NAN,) * 3
        if any(math.isnan(values[c.title]) for values in per_seed.values())
        else interval(of(arm, c.measure), mine)
        for c in columns
    }
    return ArmFindings(rows, per_seed, figures)


def _value(column: Column, view: CellView) -> float:
    """NaN where the cell has not what the column needs: an arm may go without reports or without a second turn."""
    try:
        return float(column.measure(view))
    except NotMeasured:
        return NAN


def _name(row: Row) -> str:
    return f"{row.arm}-seed{row.seed}"
