"""95% intervals over seeds and problems, which are crossed: all seeds are evaluated on the same problems.

In a crossed design with S seeds and n problems a mean over both has the variance

    V = Var(seeds) / S + Var(problems) / n + Var(seed x problem) / (S n)

whose parts are estimated apart (two-way random effects; Brennan, Generalizability Theory, 2001; with the mean squares
of the analysis of variance V = (MS_seed + MS_problem - MS_both) / (S n), the same sum of one-way clusterings less their
intersection as in Cameron, Gelbach and Miller 2011; that a bootstrap over both gives too much where it is nested, and
how much where it is crossed: Owen, The pigeonhole bootstrap, 2007):

    seed     V_s = variance of the seeds' pseudo-values / S, with S - 1 degrees of freedom
    problem  V_p = variance of the problems' influence, meant over seeds, / n, with n - 1
    both     V_b = variance of what is left of the influence of (seed, problem) / (S n), with (S - 1) (n - 1)

    V = V_s + max(0, V_p - V_b),  df = V^2 / (V_s^2 / df_s + V_p^2 / df_p + V_b^2 / df_b)  (Satterthwaite 1946)
    half-width = max(t(df) sqrt(V), t(S - 1) sqrt(V_s))

The second part of the maximum is the t interval over the seeds' own values: where seeds differ most, Satterthwaite's
df is a guess from two or three numbers and alone would hold the truth in 92% only. `docs/lab/coverage.md` shows what
both hold together.

A measure need not be a mean: pseudo-values and influence are those of the jackknife (Efron and Stein 1981), with one
seed left out, or one problem of one seed. Of a mean they are the values themselves. Problems are compared within sets.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from selfplay.lab.verdict.views import Cells, Measure, Values
from selfplay.stats.intervals import t95


def interval(measure: Measure, cells: Cells) -> tuple[float, float, float]:
    """(value, low, high): a measure with its 95% interval, which is symmetric and may end beyond what is possible.

    With one seed it is over problems alone; NaN where nothing varies there, and where a part cannot be computed.
    ValueError where arms differ in their seeds: they could not be paired.
    """
    value, low, high = intervals(measure, cells)
    return float(value), float(low), float(high)


def intervals(measure: Measure, cells: Cells) -> tuple[Values, Values, Values]:
    """The same, place by place, of a measure that gives [P] for cells: three of [P]."""
    seeds = _seeds(cells)
    view = next(iter(next(iter(cells.values())).values()))
    value = np.asarray(measure(cells), dtype=float)
    influence = np.stack([_influence(measure, cells, seed, value) for seed in seeds])
    by_seed = _seed_variance(measure, cells, seeds, value) if len(seeds) > 1 else np.zeros(value.shape)
    half = half_width(influence, by_seed, view.sizes)
    return value, value - half, value + half


def half_width(influence: Values, by_seed: Values, sizes: Sequence[int]) -> Values:
    """[...]: of the intervals of measures with influence [S, n, ...] and V_s [...], n problems in sets of `sizes`."""
    df_seed = len(influence) - 1
    by_problem, by_both, df_problem = _problem_variances(influence, sizes)
    if df_seed == 0:
        return np.asarray(t95(df_problem) * np.sqrt(np.where(by_problem > 0, by_problem, np.nan)))
    variance = by_seed + np.maximum(0.0, by_problem - by_both)
    parts = by_seed**2 / df_seed + by_problem**2 / df_problem + by_both**2 / (df_seed * df_problem)
    with np.errstate(invalid="ignore", divide="ignore"):  # df lies between the seeds' and that of all
        df = np.clip(variance**2 / parts, df_seed, df_seed + df_problem)
    satterthwaite = t95(np.nan_to_num(df, nan=df_seed)) * np.sqrt(variance)
    return np.maximum(satterthwaite, t95(df_seed) * np.sqrt(by_seed))


def _seeds(cells: Cells) -> list[int]:
    seeds = {tuple(sorted(by_seed)) for by_seed in cells.values()}
    if len(seeds) != 1 or seeds == {()}:
        raise ValueError(f"paired differences need the same seeds in every arm, at least one, not {sorted(seeds)}")
    return list(next(iter(seeds)))


def _seed_variance(measure: Measure, cells: Cells, seeds: Sequence[int], value: Values) -> Values:
    """V_s [...]: of the jackknife's pseudo-values S T - (S - 1) T(without seed s)."""
    num = len(seeds)
    without = [
        measure({arm: {s: view for s, view in by_seed.items() if s != seed} for arm, by_seed in cells.items()})
        for seed in seeds
    ]
    pseudo = num * value - (num - 1) * np.stack([np.asarray(each, dtype=float) for each in without])
    return np.asarray(pseudo.var(axis=0, ddof=1) / num)


def _influence(measure: Measure, cells: Cells, seed: int, value: Values) -> Values:
    """[n, ...]: of each problem of one seed, in all arms, on the measure; 0 on average.

    Leaving out one of n values x of a mean over S seeds changes it by (mean - x) / (S (n - 1)).
    """
    left = {
        arm: {s: replace(view, leaves_out=True) if s == seed else view for s, view in by_seed.items()}
        for arm, by_seed in cells.items()
    }
    num_seeds = len(next(iter(cells.values())))
    n = sum(next(iter(cells.values()))[seed].sizes)
    without = np.broadcast_to(np.asarray(measure(left), dtype=float), (n, *value.shape))
    influence = num_seeds * (n - 1) * (value - without)
    return np.asarray(influence - influence.mean(axis=0))


def _problem_variances(influence: Values, sizes: Sequence[int]) -> tuple[Values, Values, int]:
    """V_p and V_b [...] of influence [S, n, ...], and V_p's degrees of freedom. `sizes`: of the sets, end to end."""
    num_seeds, n = influence.shape[:2]
    by_problem = by_both = np.zeros(influence.shape[2:])
    for part in np.split(influence, np.cumsum(sizes)[:-1], axis=1):
        size = part.shape[1]
        centred = part - part.mean(axis=1, keepdims=True)
        shared = centred.mean(axis=0)
        own = ((centred - shared) ** 2).sum(axis=(0, 1)) / max(1, (num_seeds - 1) * (size - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            by_problem = by_problem + size * (shared**2).sum(axis=0) / np.float64(size - 1) / n**2
        by_both = by_both + size * own / num_seeds / n**2
    return by_problem, by_both, n - len(sizes)
