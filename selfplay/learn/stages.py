"""SCoRe's two stages as a function of stored rows (arXiv 2409.12917, section 5).

Stage I pays the second look only and holds the first try near its start by a strong KL, so that the two come apart;
stage II pays both. Stage I ends after `max_steps`, or earlier: when second looks have stopped getting better, or when
the first try has moved as far as it may. Nothing here looks at a clock, so a resumed run switches at the same step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roles.solver import turn_label
from selfplay.metrics import KL, LAST_PASS_RATE

Stage = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class StageSettings:
    """max_steps >= 0 (0: no stage I); plateau_window >= 1 steps are compared with as many before, and a gain in the
    share of right second looks below plateau_gain is a plateau (window 0: never); kl_budget >= 0 bounds the first
    try's mean KL a token over a step (0: none)."""

    max_steps: int = 0
    plateau_window: int = 0
    plateau_gain: float = 0.0
    kl_budget: float = 0.0


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What decides, of one step: share of second looks that were right, mean KL of first-try tokens to the start."""

    last_right: float
    first_kl: float


def stage_facts(metrics: Mapping[str, float]) -> StageFacts:
    """From a step's stored metrics."""
    return StageFacts(metrics.get(LAST_PASS_RATE, 0.0), metrics.get(KL.format(label=turn_label(0)), 0.0))


def stage_after(facts: Sequence[StageFacts], settings: StageSettings) -> Stage:
    """The stage of the step that follows these, which are a run's first steps in order. Once II, always II."""
    if len(facts) >= settings.max_steps:
        return 2
    ended = any(_ends(facts[: n + 1], settings) for n in range(len(facts)))
    return 2 if ended else 1


def _ends(facts: Sequence[StageFacts], settings: StageSettings) -> bool:
    if settings.kl_budget and facts[-1].first_kl > settings.kl_budget:
        return True
    window = settings.plateau_window
    if not window or len(facts) < 2 * window:
        return False
    late, early = facts[-window:], facts[-2 * window : -window]
    return sum(f.last_right for f in late) - sum(f.last_right for f in early) < settings.plateau_gain * window
