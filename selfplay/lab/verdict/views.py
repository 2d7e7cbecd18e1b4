"""Cells as arrays, with each problem left out in turn where an interval asks for that.

A measure reduces over the last axis, problems, and over cells. Where each of n problems is left out in turn arrays get
an axis for that in front, [n, n - 1] in place of [n], and a measure need not know which it is given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selfplay.evaluation.formats import read_outcomes, read_reports, read_searches
from selfplay.lab.rows import MOMENTS, Moment, Row, read_samples

SearchField = Literal["search_tokens", "search_nodes", "best_of_tokens", "best_of_nodes", "vote"]
SEARCH_FIELDS: tuple[SearchField, ...] = ("search_tokens", "search_nodes", "best_of_tokens", "best_of_nodes", "vote")
Values = NDArray[np.float64]
SampleField = Literal["right", "samples"]
Field = Literal["first", "last", "correct", "confidence"] | SampleField | SearchField


class NotMeasured(ValueError):
    """A cell has no such metric, or no reports or searches."""


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What one cell left of one set of n problems: arrays [n] by field and moment, metrics by moment and name."""

    size: int
    arrays: Mapping[tuple[Field, Moment], NDArray[Any]]
    metrics: Mapping[Moment, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell: per-problem arrays of its sets, laid end to end, at one moment. `leaves_out`: with each problem left out.

    Example, two sets of 2 problems: first() is [4] bool, metric("n") a number; leaving out, [4, 3] and [4].
    """

    facts: Mapping[str, SetFacts]
    sets: tuple[str, ...]
    moment: Moment = "end"
    leaves_out: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many problems each set has."""
        return tuple(self.facts[name].size for name in self.sets)

    def at(self, moment: Moment) -> "CellView":
        """The same cell at its start or its end."""
        return replace(self, moment=moment)

    def first(self) -> NDArray[np.bool_]:
        """[..., n]: whether the first try, greedy, was right."""
        return self._gather("first")

    def last(self) -> NDArray[np.bool_]:
        """[..., n]: whether the last turn, greedy, was right."""
        return self._gather("last")

    def correct(self) -> NDArray[np.bool_]:
        """[..., n]: whether the sampled answer that was reported on was right; NotMeasured without reports."""
        return self._gather("correct")

    def confidence(self) -> Values:
        """[..., n]: the stated probability, NaN where it could not be read; NotMeasured without reports."""
        return self._gather("confidence")

    def searched(self, name: SearchField) -> Values:
        """[..., n]: tokens or nodes until a search or best-of-N was right, infinite where never; or whether the vote
        was (0 or 1). NotMeasured without searches."""
        return self._gather(name)

    def sampled(self, name: SampleField) -> NDArray[np.int64]:
        """[..., n]: how many samples of each problem there are, or were right; NotMeasured without samples."""
        return self._gather(name)

    def stated(self) -> Values:
        """[K]: all probabilities that the whole cell stated, rising."""
        values = self._whole("confidence")
        return np.unique(values[~np.isnan(values)])

    def has_metric(self, name: str) -> bool:
        """Whether the evaluations of every set have it."""
        return all(name in self.facts[each].metrics[self.moment] for each in self.sets)

    def metric(self, name: str) -> Values:
        """[...]: a metric of the full evaluation, averaged over problems; it has no value for each. Or NotMeasured."""
        if not self.has_metric(name):
            raise NotMeasured(f"no metric {name} at the {self.moment} of every set of {', '.join(self.sets)}")
        mean = np.average([self.facts[each].metrics[self.moment][name] for each in self.sets], weights=self.sizes)
        return np.full(sum(self.sizes), mean) if self.leaves_out else np.asarray(mean)

    def _gather(self, name: Field) -> NDArray[Any]:
        whole = self._whole(name)
        return whole[_others(len(whole))] if self.leaves_out else whole

    def _whole(self, name: Field) -> NDArray[Any]:
        return np.concatenate([self._array(each, name) for each in self.sets])

    def _array(self, set_name: str, name: Field) -> NDArray[Any]:
        array = self.facts[set_name].arrays.get((name, self.moment))
        if array is None:
            what = "searches" if name in SEARCH_FIELDS else "samples" if name in ("right", "samples") else "reports"
            raise NotMeasured(f"no {what} on {set_name} at the {self.moment}")
        return array


Cells = Mapping[str, Mapping[int, CellView]]  # by arm and seed
Statistic = Callable[[CellView], Values]  # one cell: a number; leaving out [n]. Of a curve: [P]; leaving out [n, P]
Measure = Callable[[Cells], Values]  # an experiment: likewise


def cell_views(rows: Sequence[Row], sets: Sequence[str] = ()) -> dict[str, dict[int, CellView]]:
    """Rows as cells, of `sets` or else of all that they have.

    Raises ValueError where rows differ in their sets or in how many problems these have: they could not be paired.
    """
    views: dict[str, dict[int, CellView]] = {}
    sizes: dict[str, int] | None = None
    for row in rows:
        facts = {name: _facts(row, name) for name in sorted(row.outcomes) if not sets or name in sets}
        own = {name: each.size for name, each in facts.items()}
        if missing := [name for name in sets if name not in facts]:
            raise ValueError(f"{row.arm}-seed{row.seed} has no set {', '.join(missing)}")
        if sizes is not None and sizes != own:
            raise ValueError(f"{row.arm}-seed{row.seed} has problems {own}, another cell {sizes}")
        sizes = own
        views.setdefault(row.arm, {})[row.seed] = CellView(facts, tuple(facts))
    return views


@lru_cache(maxsize=4)
def _others(n: int) -> NDArray[np.intp]:
    """[n, n - 1]: for each of n places, all others."""
    rest = np.arange(n - 1)[None, :]
    return rest + (rest >= np.arange(n)[:, None])


def _facts(row: Row, set_name: str) -> SetFacts:
    arrays: dict[tuple[Field, Moment], NDArray[Any]] = {}
    for moment in MOMENTS:
        outcomes = np.array(read_outcomes(row.outcomes[set_name][moment]))
        arrays |= {("first", moment): outcomes[:, 0], ("last", moment): outcomes[:, 1]}
        text = row.reports.get(set_name, {}).get(moment)
        if text:
            pairs = read_reports(text)
            arrays["correct", moment] = np.array([right for right, _ in pairs])
            arrays["confidence", moment] = np.array([np.nan if q is None else q for _, q in pairs])
        text = row.searches.get(set_name, {}).get(moment)
        if text:
            columns = np.array(read_searches(text), dtype=float).T
            arrays |= {(name, moment): column for name, column in zip(SEARCH_FIELDS, columns, strict=True)}
        text = row.samples.get(set_name, {}).get(moment)
        if text:
            right, total = np.array(read_samples(text)).T
            arrays |= {("right", moment): right, ("samples", moment): total}
    metrics: dict[Moment, Mapping[str, float]] = {"start": row.start[set_name], "end": row.end[set_name]}
    return SetFacts(len(row.outcomes[set_name]["end"]), arrays, metrics)
