"""What pages measure: statistics of one cell, and measures that compare arms.

A statistic takes a cell and gives a number; a measure takes all cells by arm and seed. Both reduce over problems, the
last axis, and so work on one experiment and on all resamples of it at once. Of several seeds the mean is taken, so a
ratio is one of means.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfplay.calibration import BINS
from selfplay.lab.bootstrap import Cells, CellView, Measure, SearchField, Statistic, Values

Way = Literal["search", "best_of"]
Unit = Literal["tokens", "nodes"]
FIELDS: dict[tuple[Way, Unit], SearchField] = {
    ("search", "tokens"): "search_tokens",
    ("search", "nodes"): "search_nodes",
    ("best_of", "tokens"): "best_of_tokens",
    ("best_of", "nodes"): "best_of_nodes",
}

# statistics of a cell, at its end; shares of all problems, in [0, 1]


def acc_t1(view: CellView) -> Values:
    """Accuracy of the first try."""
    return view.first().mean(axis=-1)


def acc_t2(view: CellView) -> Values:
    """Accuracy of the last turn."""
    return view.last().mean(axis=-1)


def delta(view: CellView) -> Values:
    """acc_t2 - acc_t1 = i2c - c2i, in [-1, 1] (SCoRe, arXiv 2409.12917)."""
    return acc_t2(view) - acc_t1(view)


def i2c(view: CellView) -> Values:
    """Wrong at the first try, right at the last turn."""
    return (~view.first() & view.last()).mean(axis=-1)


def c2i(view: CellView) -> Values:
    """Right at the first try, wrong at the last turn."""
    return (view.first() & ~view.last()).mean(axis=-1)


def same_share(view: CellView) -> Values:
    """Share of problems whose last answer is the first one again, from metrics: `same_share`, or 1 - `change_rate`."""
    return view.metric("same_share") if view.has_metric("same_share") else 1.0 - view.metric("change_rate")


def from_metrics(name: str) -> Statistic:
    """A metric of the full evaluation, such as tokens_mean or fix_own, averaged over problems."""
    return lambda view: view.metric(name)


def at_start(statistic: Statistic) -> Statistic:
    """The same of the cell's start model."""
    return lambda view: statistic(view.at("start"))


def calibrated(name: str) -> Statistic:
    """A figure of selfplay.calibration, of the reports that could be read.

    `name`: brier, ece, ece_mass, auroc, reliability, resolution, uncertainty, distinct, mean_confidence or accuracy;
    ValueError for another. Computed from counts, for all resamples at once: called for each of 2,000 resamples the
    functions there take seconds a cell.
    """
    if name not in FIGURES:
        raise ValueError(f"no calibration figure {name}; there are {', '.join(FIGURES)}")
    figure = FIGURES[name]
    return lambda view: _of_counts(figure, view)


def report_parsed(view: CellView) -> Values:
    """Share of reports that could be read."""
    return (~np.isnan(view.confidence())).mean(axis=-1)


def wrong_admitted(view: CellView) -> Values:
    """Of wrong answers, the share reported as right with less than one half; what could not be read is no admission."""
    wrong, admitted = ~view.correct(), view.confidence() < 0.5
    return (wrong & admitted).sum(axis=-1) / np.maximum(wrong.sum(axis=-1), 1)


def search_within(tokens: int) -> Statistic:
    """Share of problems of which a search found a right answer within so many sampled tokens."""
    return lambda view: (view.searched("search_tokens") <= tokens).mean(axis=-1)


def best_of_within(tokens: int) -> Statistic:
    """The same of best-of-N."""
    return lambda view: (view.searched("best_of_tokens") <= tokens).mean(axis=-1)


def found_by(how: Way, unit: Unit, places: Sequence[int], budget: int) -> Statistic:
    """A curve [P]: the share of problems of which a right answer was there within each of P rising `places`.

    `unit`: what is counted, sampled tokens or different steps. What took more than `budget` tokens was not found.
    """
    spent_on: SearchField = FIELDS[how, unit]

    def statistic(view: CellView) -> Values:
        spent = np.where(view.searched(FIELDS[how, "tokens"]) <= budget, view.searched(spent_on), np.inf)
        first = np.searchsorted(places, spent)  # the place by which a problem was solved, P where by none
        counts = _row_counts(first, len(places) + 1)[..., :-1]
        return np.cumsum(counts, axis=-1) / spent.shape[-1]

    return statistic


def vote(view: CellView) -> Values:
    """Share of problems where the answer that most samples gave is right."""
    return view.searched("vote").mean(axis=-1)


def capped_nodes(most: int) -> Statistic:
    """Mean number of different steps until a search was right, `most` where it took more or never was."""
    return lambda view: np.minimum(view.searched("search_nodes"), most).mean(axis=-1)


# measures of an experiment


def of(arm: str, statistic: Statistic) -> Measure:
    """Mean over the seeds of an arm."""

    def measure(cells: Cells) -> Values:
        found = [statistic(view) for view in cells[arm].values()]
        return np.asarray(sum(found) / len(found))

    return measure


def difference(one: Measure, other: Measure) -> Measure:
    """one - other."""
    return lambda cells: np.asarray(one(cells) - other(cells))


def ratio(one: Measure, other: Measure) -> Measure:
    """one / other, of values from 0: infinite where only `other` is 0, and 1 where both are (nothing changed)."""

    def measure(cells: Cells) -> Values:
        above, below = np.asarray(one(cells)), np.asarray(other(cells))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((above == 0) & (below == 0), 1.0, above / below)

    return measure


def change(arm: str, statistic: Statistic) -> Measure:
    """End minus start of an arm."""
    return difference(of(arm, statistic), of(arm, at_start(statistic)))


def between(arm: str, other: str, statistic: Statistic) -> Measure:
    """Arm minus other arm."""
    return difference(of(arm, statistic), of(other, statistic))


def scaled(measure: Measure, factor: float) -> Measure:
    """A measure times a number: difference(a, scaled(b, 0.5)) <= 0 says that a is at most half of b."""
    return lambda cells: np.asarray(factor * measure(cells))


def largest(*measures: Measure) -> Measure:
    """The largest of several, in each resample anew: against the best of several arms nothing is chosen beforehand."""
    return lambda cells: np.asarray(np.max([measure(cells) for measure in measures], axis=0))


# calibration from counts [..., K, 2]: how often each of the K stated values [K] was said of wrong and right answers

Counted = Callable[[Values, NDArray[np.int64]], Values]


def _of_counts(figure: Counted, view: CellView) -> Values:
    stated, counts = view.stated(), report_counts(view)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = figure(stated, counts)
    return np.where(counts.sum(axis=(-2, -1)) > 0, found, np.nan)


def report_counts(view: CellView) -> NDArray[np.int64]:
    """[..., K, 2]: of each value of `view.stated()`, how many wrong and how many right answers it was said of."""
    correct, confidence, stated = view.correct(), view.confidence(), view.stated()
    num_kinds = 2 * len(stated)
    kinds = np.where(np.isnan(confidence), num_kinds, 2 * np.searchsorted(stated, confidence) + correct)
    return _row_counts(kinds, num_kinds + 1)[..., :-1].reshape(*kinds.shape[:-1], len(stated), 2)


def _row_counts(kinds: NDArray[np.int64], num_kinds: int) -> NDArray[np.int64]:
    """[..., num_kinds]: how often each kind from 0 stands in each row of `kinds` [..., n]."""
    rows = kinds.reshape(-1, kinds.shape[-1]) + num_kinds * np.arange(kinds.size // kinds.shape[-1])[:, None]
    return np.bincount(rows.ravel(), minlength=len(rows) * num_kinds).reshape(*kinds.shape[:-1], num_kinds)


def _accuracy(stated: Values, counts: NDArray[np.int64]) -> Values:
    return counts[..., 1].sum(axis=-1) / counts.sum(axis=(-2, -1))


def _mean_confidence(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _mean(stated, counts)


def _brier(stated: Values, counts: NDArray[np.int64]) -> Values:
    losses = counts[..., 0] * stated**2 + counts[..., 1] * (1 - stated) ** 2
    return losses.sum(axis=-1) / counts.sum(axis=(-2, -1))


def _reliability(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _mean((stated - _rates(counts)) ** 2, counts)


def _resolution(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _mean((_rates(counts) - _accuracy(stated, counts)[..., None]) ** 2, counts)


def _uncertainty(stated: Values, counts: NDArray[np.int64]) -> Values:
    accuracy = _accuracy(stated, counts)
    return accuracy * (1 - accuracy)


def _distinct(stated: Values, counts: NDArray[np.int64]) -> Values:
    return (counts.sum(axis=-1) > 0).sum(axis=-1).astype(float)


def _auroc(stated: Values, counts: NDArray[np.int64]) -> Values:
    wrong, right = counts[..., 0], counts[..., 1]
    below = np.cumsum(wrong, axis=-1) - wrong / 2  # wrong answers of less confidence, ties half
    pairs = wrong.sum(axis=-1) * right.sum(axis=-1)
    return np.where(pairs > 0, (right * below).sum(axis=-1) / pairs, 0.5)


def _ece(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _gap(stated, counts, np.minimum((stated * BINS).astype(int), BINS - 1))


def _ece_mass(stated: Values, counts: NDArray[np.int64]) -> Values:
    sizes = counts.sum(axis=-1)
    middle = np.cumsum(sizes, axis=-1) - sizes / 2
    shares = middle / np.maximum(sizes.sum(axis=-1, keepdims=True), 1)
    return _gap(stated, counts, np.minimum((shares * BINS).astype(int), BINS - 1))


def _gap(stated: Values, counts: NDArray[np.int64], bins: NDArray[np.int64]) -> Values:
    """Sum over bins of |right answers - stated probability| over answers. `bins` [..., K]: the bin of each value."""
    surplus = counts[..., 1] - counts.sum(axis=-1) * stated
    gaps = sum(np.abs(np.where(bins == each, surplus, 0.0).sum(axis=-1)) for each in range(BINS))
    return np.asarray(gaps / counts.sum(axis=(-2, -1)))


def _rates(counts: NDArray[np.int64]) -> Values:
    """[..., K]: accuracy where each value was stated; 0 where it was not."""
    return counts[..., 1] / np.maximum(counts.sum(axis=-1), 1)


def _mean(values: Values, counts: NDArray[np.int64]) -> Values:
    sizes = counts.sum(axis=-1)
    return np.asarray((sizes * values).sum(axis=-1) / sizes.sum(axis=-1))


FIGURES: dict[str, Counted] = {
    "brier": _brier,
    "ece": _ece,
    "ece_mass": _ece_mass,
    "auroc": _auroc,
    "reliability": _reliability,
    "resolution": _resolution,
    "uncertainty": _uncertainty,
    "distinct": _distinct,
    "mean_confidence": _mean_confidence,
    "accuracy": _accuracy,
}
