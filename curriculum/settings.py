"""The curriculum's settings, in one validated record. Shares and rates are in [0, 1]; the others are counts.

What each one does, the numbers that are no settings, and where all of them are from: docs/curriculum.md.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

ForecastRule = Literal["beta", "features"]  # by which it is foretold how often an untried problem is solved
_PER_ATTEMPTS = 8  # the number of attempts that `min_successes` is said for


@dataclass(frozen=True, slots=True)
class CurriculumSettings:
    """ValueError, naming the field, for an impossible value."""

    group_size: int = 8  # first tries at a problem (solver.group_size): how much evidence is enough is said in groups
    forgetting: float = 0.97  # gamma: an observation of a problem weighs so many times less with each policy version
    family_forgetting: float = 0.9  # the same of families and of the run, which get new evidence at every step
    band_low: float = 0.1  # replays are drawn from problems whose first-try pass rate is at least this
    band_high: float = 0.9  # and at most this
    parent_low: float = 0.2  # a problem solved less often than this is no parent to escalate from
    min_new_share: float = 0.4  # at least this share of a step's problems is the challenger's new ones, if it has them
    max_new_share: float = 0.6  # and at most this, unless no known problem is worth its place
    max_family_share: float = 0.34  # most of a step's parents, or of its promising new problems, from one family
    family_quota: float = 1.0  # and most of its new problems, promising or not, with places left empty for it
    mastered_share: float = 0.06  # share of a step for families that may be forgotten: 0.5 to 1.5 times it, by risk
    known_rate: float = 0.6  # a family whose best rate was lower was never known, so it cannot be forgotten
    level_discount: float = 0.5  # factor for each level above the gapless one, for parents and for what is admitted
    staleness_weight: float = 0.15  # rho: weight of staleness beside learnability when replays are drawn
    min_successes: int = 2  # a group of 8 with fewer, but some, is banked: not trained on, tried again later
    bank_delay: int = 4  # steps before a banked problem is tried again, with twice the attempts
    reprobe_delay: int = 10  # steps before a problem that was too hard is tried again, if its family has improved
    rescue_share: float = 0.125  # share of a step for problems that were too hard, where `curriculum.rescue` has any
    max_candidates: int = 1024  # problems looked at per draw: bounds a step's work whatever the size of the store
    forecast: ForecastRule = "beta"  # of untried problems: their family's rate, or what their features add to it

    @property
    def least_successes(self) -> int:
        """`min_successes` in proportion to the size of a group: 1 + floor((min_successes - 1) group_size / 8)."""
        return 1 + (self.min_successes - 1) * self.group_size // _PER_ATTEMPTS

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "forecast":
                _require(value in get_args(ForecastRule), field.name, value, " or ".join(get_args(ForecastRule)))
            elif field.type is int or field.type == "int":
                _require(type(value) is int and value >= 1, field.name, value, "an integer of at least 1")
            else:
                _require(isinstance(value, int | float) and 0 <= value <= 1, field.name, value, "a number from 0 to 1")
        _require(0 < self.forgetting <= 1, "forgetting", self.forgetting, "above 0 and at most 1")
        _require(0 < self.family_forgetting <= 1, "family_forgetting", self.family_forgetting, "above 0 and at most 1")
        _require(self.band_low < self.band_high, "band_low", self.band_low, "below band_high")
        _require(self.min_new_share <= self.max_new_share, "min_new_share", self.min_new_share, "at most max_new_share")
        _require(self.max_family_share > 0, "max_family_share", self.max_family_share, "above 0")
        _require(self.family_quota > 0, "family_quota", self.family_quota, "above 0")
        _require(self.level_discount >= 0.3, "level_discount", self.level_discount, "from 0.3 to 1")
        _require(self.mastered_share <= 0.5, "mastered_share", self.mastered_share, "at most 0.5")


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise ValueError(f"curriculum.{name} is {value!r}: it must be {wanted}")
