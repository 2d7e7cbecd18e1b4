"""Statistics of some of a cell's evaluation sets, where an easy set and a hard one do different things."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from selfplay.lab.verdict.views import CellView, Statistic, Values


def on(sets: str | Sequence[str], statistic: Statistic) -> Statistic:
    """`statistic` of these sets' problems alone. KeyError for a set that there is not.

    Where each of all n problems is left out in turn, leaving out one of another set changes nothing.
    """
    names = (sets,) if isinstance(sets, str) else tuple(sets)

    def measure(view: CellView) -> Values:
        part = replace(view, sets=names)
        if not view.leaves_out:
            return statistic(part)
        whole = np.asarray(statistic(replace(part, leaves_out=False)), dtype=float)
        without = np.asarray(statistic(part), dtype=float)
        found = np.broadcast_to(whole, (sum(view.sizes), *whole.shape)).copy()
        at = dict(zip(view.sets, np.split(np.arange(len(found)), np.cumsum(view.sizes)[:-1]), strict=True))
        found[np.concatenate([at[name] for name in names])] = without
        return found

    return measure


def reached(least: float) -> Statistic:
    """How many sets, easiest first by name, are solved at least so often at the first try, up to the first that is not;
    the next one counts in part, as its accuracy over `least`. With sets chain2, chain3 ... one more than that is the
    longest chain that is solved so often: the frontier, which moves as accuracy does."""

    def measure(view: CellView) -> Values:
        rates = [np.minimum(1.0, on(name, _right)(view) / least) for name in view.sets]
        found = np.zeros_like(rates[0])
        still = np.ones_like(rates[0])
        for rate in rates:
            found = found + still * rate
            still = still * (rate >= 1.0)
        return found

    return measure


def _right(view: CellView) -> Values:
    return view.first().mean(axis=-1)
