"""What an experiment is, written down before it is run: arms, seeds, criteria, and what its page says about it.

What its figures say beyond the criteria is written after the run, in docs/lab/<name>.seen.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfplay.lab.afterwards import NOTHING, Afterwards
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.curves import Curves
from selfplay.lab.verdict.views import Statistic

if TYPE_CHECKING:
    from selfplay.lab.scratch import WarmStart


@dataclass(frozen=True, slots=True)
class Arm:
    """Changes to the base configuration. The verdict needs gated arms; others are run with --full and only shown."""

    overrides: tuple[str, ...] = ()
    is_gated: bool = True
    note: str = ""
    mask_of: str = ""  # an arm, whose run with the same seed says which parameters this one trains; it stands before


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of arms: one number a cell. Differences are written with their sign (`is_signed`)."""

    title: str
    measure: Statistic
    is_signed: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """`criteria`, the first the main one, decide; `control` shows that the instrument can see an effect at all.

    sets: evaluation sets whose problems are pooled; none means all. smallest_effect: half-width of a 95% interval
    beyond which the design is blind, in the unit of the main criterion (a criterion may have its own). series: metrics
    drawn over training, for `series_arms` or else all gated arms. plotted: the column drawn for every arm, else the
    first one. curves: a second picture, of what arms had found by how much they had spent. second_family: the same
    question asked of other problems, which --full runs too. afterwards: what a cell measures when its run is done.
    Raises ValueError where these do not fit together.
    """

    name: str
    title: str
    claim: str
    base_config: str
    arms: Mapping[str, Arm]
    criteria: tuple[Criterion, ...]
    control: Criterion
    smallest_effect: float
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()  # paragraphs of before the run
    seeds: tuple[int, ...] = (0, 1, 2)
    sets: tuple[str, ...] = ()
    series: tuple[str, ...] = ("fix_own", "fix_start")
    series_arms: tuple[str, ...] = ()
    plotted: str = ""
    curves: Curves | None = None
    warm_start: WarmStart | None = None
    second_family: Experiment | None = None
    afterwards: Afterwards = NOTHING

    def __post_init__(self) -> None:
        titles = [column.title for column in self.columns]
        if not self.criteria or not titles or not self.gated:
            raise ValueError(f"{self.name}: needs a criterion, a column and a gated arm")
        if len(set(titles)) < len(titles) or (self.plotted and self.plotted not in titles):
            raise ValueError(f"{self.name}: columns need titles of their own, and `plotted` is one of them")
        if unknown := [arm for arm in self.series_arms if arm not in self.arms]:
            raise ValueError(f"{self.name}: series_arms has no arm {', '.join(unknown)}")
        if unknown := sorted((self.curves.arms if self.curves else set()) - self.arms.keys()):
            raise ValueError(f"{self.name}: curves have no arm {', '.join(unknown)}")

    @property
    def gated(self) -> tuple[str, ...]:
        """Names of the arms that the verdict needs."""
        return tuple(name for name, arm in self.arms.items() if arm.is_gated)
