"""Criteria, written before the run, and the verdict that follows from them. Nothing here is a matter of taste later.

A criterion compares a measure with a threshold, `>=` or `<=`. It passes when

1. the bound of the 95% interval nearest to failure (the lower one for `>=`) is not beyond the threshold, and
2. if `every_seed`, each seed alone has the right sign. Where no effect, zero, would be failure (`>=` with a threshold
   from 0, `<=` with one up to 0) that is: strictly above (below) zero. Where zero would pass (at most 0.1; at least
   -0.01) its side says nothing, and each seed must be on the right side of the threshold itself.

The verdict, of the gated criteria and the positive control, is the first of these that holds:

1. inconclusive: something could not be measured (arms missing, no value) or was by fewer than 3 seeds;
2. inconclusive: the positive control did not pass, so the instrument may be blind;
3. positive: every gated criterion passes;
4. inconclusive: a criterion failed whose interval holds the threshold and is wider, by half its width, than the
   smallest effect that the design must see: it could not have seen it;
5. negative.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selfplay.lab.verdict.intervals import interval
from selfplay.lab.verdict.views import Cells, Measure, NotMeasured

Direction = Literal[">=", "<="]
Verdict = Literal["positive", "negative", "inconclusive"]
MIN_SEEDS = 3
Measured = tuple[float | None, tuple[float, float] | None, Mapping[int, float]]
NOTHING: Measured = (None, None, {})
ROUNDING = 1e-9  # 15/500 is not less than 0.03


@dataclass(frozen=True, slots=True)
class Criterion:
    """`statement` is the sentence on the page. smallest_effect: in this measure's unit; None: the experiment's.

    Criteria that are not gated are judged and shown, and decide nothing. is_signed: written with its sign.
    """

    name: str
    statement: str
    threshold: float
    direction: Direction
    measure: Measure
    every_seed: bool = True
    smallest_effect: float | None = None
    is_gated: bool = True
    is_signed: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A criterion with what was found. value, interval and per_seed are None and empty where it was not measured."""

    name: str
    statement: str
    threshold: float
    direction: Direction
    value: float | None
    interval: tuple[float, float] | None
    per_seed: Mapping[int, float]
    passed: bool
    smallest_effect: float
    is_gated: bool = True
    is_signed: bool = False

    @property
    def half_width(self) -> float | None:
        """Of the interval: the smallest effect that these cells could show."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2

    @property
    def is_blind(self) -> bool:
        """It failed, and the design could not have seen that it holds."""
        if self.passed or self.interval is None or self.half_width is None:
            return False
        low, high = self.interval
        return low <= self.threshold <= high and self.half_width > self.smallest_effect


def judge(criterion: Criterion, cells: Cells, smallest_effect: float) -> Judged:
    """A criterion on all cells, which have the same seeds in every arm; without cells, or without
    what the measure reads, it is not measured.

    `smallest_effect` is for criteria without one of their own. An arm that is not there leaves a criterion that is not
    gated unmeasured, and is a ValueError for others.
    """
    value, bounds, per_seed = _measured(criterion, cells) if cells else NOTHING
    return Judged(
        name=criterion.name,
        statement=criterion.statement,
        threshold=criterion.threshold,
        direction=criterion.direction,
        value=value,
        interval=bounds,
        per_seed=per_seed,
        passed=bounds is not None and _passes(criterion, bounds, per_seed),
        smallest_effect=smallest_effect if criterion.smallest_effect is None else criterion.smallest_effect,
        is_gated=criterion.is_gated,
        is_signed=criterion.is_signed,
    )


def explained(judged: Sequence[Judged], control: Judged) -> tuple[Verdict, str]:
    """The verdict, and the sentence that says which part of the rule gave it."""
    gated = [each for each in judged if each.is_gated]
    if unmeasured := [each.name for each in (*gated, control) if each.interval is None]:
        return "inconclusive", f"not measured: {', '.join(unmeasured)}."
    seeds = min(len(each.per_seed) for each in (*gated, control))
    if seeds < MIN_SEEDS:
        return "inconclusive", f"{seeds} of at least {MIN_SEEDS} seeds."
    if not control.passed:
        return "inconclusive", "the positive control failed, so the instrument may be blind."
    failed = [each for each in gated if not each.passed]
    if not failed:
        return "positive", "every criterion passes, and so does the positive control."
    if blind := [each.name for each in failed if each.is_blind]:
        return "inconclusive", f"the design could not have seen it: {', '.join(blind)}."
    return "negative", f"the positive control passes, and these do not: {', '.join(each.name for each in failed)}."


def _measured(criterion: Criterion, cells: Cells) -> Measured:
    try:
        value, low, high = interval(criterion.measure, cells)
        per_seed = {seed: float(criterion.measure(_alone(cells, seed))) for seed in next(iter(cells.values()))}
    except NotMeasured:
        return NOTHING
    except KeyError as error:
        if not criterion.is_gated:
            return NOTHING
        raise ValueError(f"criterion {criterion.name} needs arm {error}, which is not among the gated") from error
    is_whole = not any(math.isnan(each) for each in (value, low, high, *per_seed.values()))
    return (value, (low, high), per_seed) if is_whole else NOTHING


def _alone(cells: Cells, seed: int) -> Cells:
    return {arm: {seed: by_seed[seed]} for arm, by_seed in cells.items()}


def _passes(criterion: Criterion, bounds: tuple[float, float], per_seed: Mapping[int, float]) -> bool:
    """Both parts of the rule; `<=` is `>=` of everything with its sign turned."""
    sign = 1.0 if criterion.direction == ">=" else -1.0
    threshold = sign * criterion.threshold
    worst = sign * bounds[0 if criterion.direction == ">=" else 1]
    if worst < threshold - ROUNDING:
        return False
    if not criterion.every_seed:
        return True
    if threshold >= 0:
        return all(sign * value > ROUNDING for value in per_seed.values())
    return all(sign * value >= threshold - ROUNDING for value in per_seed.values())
