"""What was said to be likely against what came: bins of probabilities, on the diagonal where they are true."""

from collections.abc import Sequence

from curriculum.tracking.forecasts import scored
from selfplay.evaluation.formats import read_reports
from selfplay.stats.calibration import reliability_bins
from selfplay.stats.intervals import wilson
from selfplay.view.charts.chart import Chart, Series, series
from selfplay.view.charts.source import Source

KEY = "calibration"
WHOLE = (0.0, 1.0)


def has_reports(source: Source) -> bool:
    """Whether answers of some evaluation said how sure they are."""
    return any(each.reports for each in source.evaluations)


def calibration(source: Source) -> Chart:
    """Stated confidence against accuracy, where a run's evaluations ask for it; else the curriculum's forecasts of pass
    rates against the pass rates that came. The title says which."""
    return confidence(source) if has_reports(source) else forecasts(source)


def confidence(source: Source) -> Chart:
    """Of all held-out sets together, at the first and at the last evaluation that has reports."""
    by_step: dict[int, list[tuple[bool, float]]] = {}
    for each in source.evaluations:
        read = [(right, stated) for right, stated in read_reports(each.reports) if stated is not None]
        by_step.setdefault(each.step, []).extend(read)
    steps = sorted(step for step, said in by_step.items() if said)
    drawn = [
        _bins([float(right) for right, _ in said], [stated for _, stated in said], f"after step {step}", "answers", i)
        for i, step in enumerate(sorted({*steps[:1], *steps[-1:]}))
        for said in [by_step[step]]
    ]
    return Chart(
        key=KEY,
        title="Stated confidence and accuracy",
        help="Sampled answers to held-out problems, in ten bins of the confidence that the model stated: the share of "
        "each bin that was right, with its 95% interval. Below the dashed line the model is surer than it is right. "
        "ECE: mean distance from the line, weighted by answers.",
        y_label="share right",
        x_label="stated confidence",
        x_range=WHOLE,
        y_range=WHOLE,
        series=(*drawn, _diagonal(len(drawn))) if drawn else (),
        empty="No confidence of this run could be read.",
    )


def forecasts(source: Source) -> Chart:
    """Of every group, before its step; problems that were tried before apart from untried ones."""
    groups = list(scored(source.store.history(), source.settings))
    named = {True: "untried problems", False: "problems that were tried before"}
    drawn = []
    for is_first, name in named.items():
        of = [each for each in groups if each.is_first is is_first]
        if of:
            rates, means = [each.right / each.tries for each in of], [each.beta.mean for each in of]
            drawn.append(_bins(rates, means, name, "groups", int(not is_first)))
    return Chart(
        key=KEY,
        title="Pass rates that the curriculum foretold, and those that came",
        help="Groups of attempts, in ten bins of the pass rate that the curriculum foretold before the step: the mean "
        "pass rate of each bin, with a 95% interval that takes a group for one try. On the dashed line what was "
        "foretold came. ECE: mean distance from the line, weighted by groups.",
        y_label="pass rate",
        x_label="foretold pass rate",
        x_range=WHOLE,
        y_range=WHOLE,
        series=(*drawn, _diagonal(len(drawn))) if drawn else (),
    )


def _bins(came: Sequence[float], said: Sequence[float], name: str, what: str, group: int) -> Series:
    """One line with a point for each bin that holds something."""
    bins = reliability_bins(came, said)
    error = sum(each.n * abs(each.accuracy - each.confidence) for each in bins) / len(said)
    ends = [wilson(each.accuracy * each.n, each.n) for each in bins]
    return series(
        f"{name}: ECE {error:.3f}, {len(said):,} {what}",
        [(each.confidence, each.accuracy) for each in bins],
        group,
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        notes=tuple(f"{each.n:,} {what}" for each in bins),
    )


def _diagonal(group: int) -> Series:
    return series("as true as stated", [(0.0, 0.0), (1.0, 1.0)], group, style="dashed")
