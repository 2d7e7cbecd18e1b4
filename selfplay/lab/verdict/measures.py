"""What pages measure: statistics of one cell, and measures that compare arms.

A statistic takes a cell and gives a number; a measure takes all cells by arm and seed. Both reduce over problems, the
last axis, and so work on a cell as it is and on one with each problem left out in turn. Of several seeds the mean is
taken, so a ratio is one of means.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfplay.lab import ran
from selfplay.lab.afterwards import AUDIT_FIGURES, PERPLEXITIES
from selfplay.lab.verdict.views import Cells, CellView, Measure, SearchField, Statistic, Values
from selfplay.metrics import metric_of
from selfplay.stats.calibration import BINS
from selfplay.stats.pass_at_k import pass_at_k

# which only the lab works out, of a whole run (selfplay/lab/ran.py) or when it is done (selfplay/lab/afterwards.py)
ROW_FIGURES = ("thousand_tokens", "credit_auroc", *PERPLEXITIES, *AUDIT_FIGURES, *ran.NAMES, ran.PICKED)
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


def broken_rate(view: CellView) -> Values:
    """Of the first tries that were right, the share whose last turn is wrong; 0 where none was right."""
    first = view.first()
    return (first & ~view.last()).sum(axis=-1) / np.maximum(first.sum(axis=-1), 1)


def mended_rate(view: CellView) -> Values:
    """Of the first tries that were wrong, the share whose last turn is right; 0 where none was wrong."""
    first = view.first()
    return (~first & view.last()).sum(axis=-1) / np.maximum((~first).sum(axis=-1), 1)


def same_share(view: CellView) -> Values:
    """Share of problems whose last answer is the first one again, from metrics: `same_share`, or 1 - `change_rate`."""
    return view.metric("same_share") if view.has_metric("same_share") else 1.0 - view.metric("change_rate")


def from_metrics(name: str) -> Statistic:
    """A metric of the full evaluation, such as tokens_mean or fix_own, averaged over problems.

    ValueError for a name that is neither in selfplay/metrics.py nor in ROW_FIGURES.
    """
    if name not in ROW_FIGURES:
        metric_of(name)
    return lambda view: view.metric(name)


def at_start(statistic: Statistic) -> Statistic:
    """The same of the cell's start model."""
    return lambda view: statistic(view.at("start"))


def calibrated(name: str) -> Statistic:
    """A figure of selfplay.stats.calibration, of the reports that could be read.

    `name`: one of FIGURES; ValueError for another. Computed from counts, with every problem left out in turn at once:
    called for each, the functions there take seconds a cell. Those whose names end in `_corrected` are less what noise
    alone adds to them: few answers to a bin are never right in exactly the share that was stated.
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


def passed_at(k: int) -> Statistic:
    """pass@k of the samples drawn when a run was done: the mean over problems of 1 - C(n - c, k) / C(n, k)."""
    return lambda view: _passed(view, k).mean(axis=-1)


def passed_curve(places: Sequence[int]) -> Statistic:
    """[P]: pass@k at each of P `places`."""
    return lambda view: np.stack([passed_at(k)(view) for k in places], axis=-1)


def newly_solved(view: CellView) -> Values:
    """Share of problems of which the end solved one sample at least and the start none of as many."""
    return ((view.at("end").sampled("right") > 0) & (view.at("start").sampled("right") == 0)).mean(axis=-1)


def lost(view: CellView) -> Values:
    """The reverse: solved by the start alone."""
    return ((view.at("end").sampled("right") == 0) & (view.at("start").sampled("right") > 0)).mean(axis=-1)


def unsolved_at_start(view: CellView) -> Values:
    """Share of problems of which the start solved no sample."""
    return (view.at("start").sampled("right") == 0).mean(axis=-1)


def _passed(view: CellView, k: int) -> Values:
    """[..., n]: the estimate for each problem."""
    right = view.sampled("right")
    n = int(view.sampled("samples").max())
    table = np.array([pass_at_k(n, c, k) for c in range(n + 1)])
    return np.asarray(table[right])


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
    """The largest of several, so that against the best of several arms nothing is chosen beforehand.

    Noise makes it too large, and its difference to one arm too small: what must exceed it has the harder task.
    """
    return lambda cells: np.asarray(np.max([measure(cells) for measure in measures], axis=0))


# calibration from counts [..., K, 2]: how often each of the K stated values [K] was said of wrong and right answers

_erf = np.vectorize(math.erf, otypes=[float])
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


def _ece_corrected(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _gap_corrected(stated, counts, _of_equal_width(stated))


def _ece_mass_corrected(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _gap_corrected(stated, counts, _of_equal_mass(counts))


def _reliability_corrected(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _reliability(stated, counts) - _noise_of_rates(counts)


def _resolution_corrected(stated: Values, counts: NDArray[np.int64]) -> Values:
    noise = _noise_of_rates(counts) - _uncertainty(stated, counts) / np.maximum(counts.sum(axis=(-2, -1)) - 1, 1)
    return _resolution(stated, counts) - noise


def _noise_of_rates(counts: NDArray[np.int64]) -> Values:
    """Mean variance of the accuracies where each value was stated, which the squares of both parts of the Brier score
    have too much of (Ferro and Fricker 2012, doi 10.1002/qj.1924). A value that was stated once tells nothing of its.
    """
    rates, sizes = _rates(counts), counts.sum(axis=-1)
    return _mean(rates * (1 - rates) / np.maximum(sizes - 1, 1), counts)


def _ece(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _gap(stated, counts, _of_equal_width(stated))


def _ece_mass(stated: Values, counts: NDArray[np.int64]) -> Values:
    return _gap(stated, counts, _of_equal_mass(counts))


def _of_equal_width(stated: Values) -> NDArray[np.int64]:
    """[K]: the tenth in which each value lies."""
    return np.minimum((stated * BINS).astype(int), BINS - 1)


def _of_equal_mass(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[..., K]: the bin of each value where every bin has about as many answers."""
    sizes = counts.sum(axis=-1)
    middle = np.cumsum(sizes, axis=-1) - sizes / 2
    shares = middle / np.maximum(sizes.sum(axis=-1, keepdims=True), 1)
    return np.minimum((shares * BINS).astype(int), BINS - 1)


def _surplus(stated: Values, counts: NDArray[np.int64], bins: NDArray[np.int64]) -> tuple[Values, Values]:
    """[..., BINS]: by bin, right answers less those stated, and the deviation that has where what is stated is true."""
    sizes = counts.sum(axis=-1)
    inside = bins[..., None] == np.arange(BINS)  # [..., K, BINS]
    surplus = ((counts[..., 1] - sizes * stated)[..., None] * inside).sum(axis=-2)
    variance = ((sizes * stated * (1 - stated))[..., None] * inside).sum(axis=-2)
    return surplus, np.sqrt(variance)


def _gap(stated: Values, counts: NDArray[np.int64], bins: NDArray[np.int64]) -> Values:
    """Sum over bins of |right answers - stated probability| over answers. `bins` [..., K]: the bin of each value."""
    surplus, _ = _surplus(stated, counts, bins)
    return np.asarray(np.abs(surplus).sum(axis=-1) / counts.sum(axis=(-2, -1)))


def _gap_corrected(stated: Values, counts: NDArray[np.int64], bins: NDArray[np.int64]) -> Values:
    """The same less what noise adds, at which the first-order guess is what noise would add once more:

    2 |u| - E|u + s Z| for a surplus u of deviation s, Z normal (the correction of Kumar, Liang and Ma 2019, arXiv
    1909.10155, with the mean of a folded normal in place of draws). It removes two fifths of the bias where all is
    true, and is within a tenth of a deviation where a bin is off by its deviation or more. It can come out below 0.
    """
    surplus, deviation = _surplus(stated, counts, bins)
    size = np.abs(surplus)
    z = size / np.maximum(deviation, 1e-12)
    folded = deviation * math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2) + size * _erf(z / math.sqrt(2))
    return np.asarray((2 * size - folded).sum(axis=-1) / counts.sum(axis=(-2, -1)))


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
    "ece_corrected": _ece_corrected,
    "ece_mass_corrected": _ece_mass_corrected,
    "auroc": _auroc,
    "reliability": _reliability,
    "resolution": _resolution,
    "reliability_corrected": _reliability_corrected,
    "resolution_corrected": _resolution_corrected,
    "uncertainty": _uncertainty,
    "distinct": _distinct,
    "mean_confidence": _mean_confidence,
    "accuracy": _accuracy,
}
