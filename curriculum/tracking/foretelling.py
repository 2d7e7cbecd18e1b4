"""What is foretold of problems that nobody has tried, from their features: rates by `rate_model.py`, and their spread.

The spread is that of problems around what their features say, measured as `Tracker` measures it around
a family's rate: on first groups, by how much of 4 p (1 - p) is left within a problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curriculum.tracking.features import SIZE
from curriculum.tracking.posterior import Counts, beta_mean, learnability
from curriculum.tracking.rate_model import RateModel

BY_FEATURES_STRENGTH = 4.0  # tries that a forecast weighs, at most: as of a tried problem
_FIRST_STRENGTH = 2.0  # before anything was seen: as Beta(1, 1)
_LEAST_STRENGTH = 1e-3  # of problems each of which is always solved, or never: a Beta needs some


@dataclass(frozen=True, slots=True)
class Described:
    """A problem before its first group: `features`, and the logit of what its family foretells."""

    features: Sequence[float]
    offset: float


class Foretelling:
    """A fold over first groups. `forgetting`: of the spread, with each policy version."""

    def __init__(self, forgetting: float) -> None:
        self._forgetting = forgetting
        self._model = RateModel(SIZE)
        self._within = Counts()  # hits 4 p (1 - p) as found, misses what was expected less that

    def state_of_fold(self) -> dict[str, Any]:
        return {"model": self._model.state_of_fold(), "within": self._within}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state_of_fold` gave."""
        self._model.restore(state["model"])
        self._within = state["within"]

    def forecast(self, described: Described, version: int) -> tuple[float, float]:
        """(mean, strength in tries) of the Beta that the problem's pass rate is drawn from."""
        logit = self._model.foretell(described.features, described.offset, version)
        return logit.rate, self._strength(version)

    def observe(self, described: Described, right: int, tries: int, version: int) -> None:
        """A first group, sampled at `version`, of a problem as it was described before."""
        rate, strength = self.forecast(described, version)
        self._model.observe(described.features, described.offset, right, tries, strength, version)
        if tries >= 2:
            found = 4.0 * right * (tries - right) / (tries * (tries - 1))  # unbiased
            self._within.add(found, learnability(rate) - found, version, self._forgetting)

    def _strength(self, version: int) -> float:
        share = _FIRST_STRENGTH / (1.0 + _FIRST_STRENGTH)
        within = beta_mean(*self._within.at(version, self._forgetting), share)
        return min(BY_FEATURES_STRENGTH, max(_LEAST_STRENGTH, within / max(1.0 - within, 1e-9)))
