"""How well the curriculum foretells what a group will show: forecasts made before each step, scored by what it showed.

A forecast of a problem's pass rate is a Beta with mean m and strength s, so that of the k right tries in a group of n
is beta-binomial. Scores are proper, or have a value that they should have:

    Brier        mean of (m - x)^2 over tries, x is 1 where a try is right: lower is better
    coverage     share of groups whose k lies in the central interval of at least 90%: 0.9 or more
    signal       P(0 < k < n), as foretold and as it came, and the Brier score of the first

Beside it stands what a plainer rule foretells: Beta(1 + h, 1 + m), h and m the discounted hits and misses of the
problem's family, as if all its problems were alike. The scores are a fold of the stored history, so that a run need
not have kept them. Left out: graded scores, by which a group may have a signal whose tries are all right.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, lgamma

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.posterior import Counts, beta_mean
from store.records import PassRate, StepHistory

LEVEL = 0.9  # of the intervals


@dataclass(frozen=True, slots=True)
class Forecast:
    """A pass rate is Beta(m s, (1 - m) s): `mean` m in (0, 1), `strength` s > 0, in tries."""

    mean: float
    strength: float

    def chances(self, n: int) -> list[float]:
        """P(k of n tries are right) for k = 0 to n."""
        a, b = self.mean * self.strength, (1.0 - self.mean) * self.strength
        whole = lgamma(n + 1) - lgamma(a) - lgamma(b) + lgamma(a + b) - lgamma(n + a + b)
        return [
            exp(whole - lgamma(k + 1) - lgamma(n - k + 1) + lgamma(k + a) + lgamma(n - k + b)) for k in range(n + 1)
        ]

    def interval(self, n: int) -> tuple[int, int]:
        """(lowest, highest) k of the central interval: at most 5% lie below it, and at most 5% above."""
        tail = (1.0 - LEVEL) / 2.0
        chances = self.chances(n)
        return _first_beyond(chances, tail), n - _first_beyond(chances[::-1], tail)

    def signal(self, n: int) -> float:
        """P(0 < k < n)."""
        chances = self.chances(n)
        return max(0.0, 1.0 - chances[0] - chances[-1])


@dataclass(frozen=True, slots=True)
class Scored:
    """A group, and what was foretold of it. `is_first`: nobody had tried the problem before."""

    step: int
    is_first: bool
    tries: int
    right: int
    forecast: Forecast
    plain: Forecast


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over groups; of a Brier score of tries, over these."""

    groups: int
    pass_rate: float
    foretold: float  # mean of m, a try
    brier: float
    coverage: float
    signal: float
    signal_foretold: float
    signal_brier: float


def scored(history: Iterable[StepHistory], settings: CurriculumSettings) -> Iterator[Scored]:
    """Every group of a run with the forecasts that were possible before its step, in the order of steps and ids."""
    tracker, families = Tracker(settings), dict[str, Counts]()
    for step in history:
        new = {problem.problem_id: problem for problem in step.problems}
        groups = sorted((rate for rate in step.pass_rates if rate.attempts), key=_place)
        for rate in groups:
            problem = new.get(rate.problem_id) or tracker.problem(rate.problem_id)
            known = families.get(problem.family, Counts()).at(tracker.version, settings.family_forgetting)
            yield Scored(
                step=step.step,
                is_first=rate.problem_id in new or tracker.last_step(rate.problem_id) is None,
                tries=rate.attempts,
                right=rate.successes,
                forecast=Forecast(*tracker.forecast(problem)),
                plain=Forecast(beta_mean(*known), 2.0 + sum(known)),
            )
        tracker.observe(step)
        for rate in groups:
            counts = families.setdefault(tracker.problem(rate.problem_id).family, Counts())
            wrong = rate.attempts - rate.successes
            counts.add(rate.successes, wrong, rate.policy_version, settings.family_forgetting)


def scores(groups: Sequence[Scored], of_plain: bool = False) -> Scores | None:
    """Of the tracker's forecasts, or of the plain ones; None without groups."""
    if not groups:
        return None
    asked = [(each, each.plain if of_plain else each.forecast) for each in groups]
    tries = sum(each.tries for each in groups)
    signals = [(0 < each.right < each.tries, forecast.signal(each.tries)) for each, forecast in asked]
    covered = [low <= each.right <= high for each, (low, high) in ((e, f.interval(e.tries)) for e, f in asked)]
    squares = (e.right * (1.0 - f.mean) ** 2 + (e.tries - e.right) * f.mean**2 for e, f in asked)
    return Scores(
        groups=len(groups),
        pass_rate=sum(each.right for each in groups) / tries,
        foretold=sum(each.tries * forecast.mean for each, forecast in asked) / tries,
        brier=sum(squares) / tries,
        coverage=sum(covered) / len(groups),
        signal=sum(came for came, _ in signals) / len(groups),
        signal_foretold=sum(chance for _, chance in signals) / len(groups),
        signal_brier=sum((came - chance) ** 2 for came, chance in signals) / len(groups),
    )


def _place(rate: PassRate) -> tuple[str, int]:
    return rate.problem_id, rate.policy_version


def _first_beyond(chances: Sequence[float], tail: float) -> int:
    """The first k up to which, k included, more than `tail` lies."""
    below = 0.0
    for k, chance in enumerate(chances):
        below += chance
        if below > tail:
            return k
    return len(chances) - 1
