"""How well the curriculum foretells what a group will show: forecasts made before each step, scored by what it showed.

A forecast of a problem's pass rate is a Beta with mean m and strength s, so that of the k right tries in a group of n
is beta-binomial. Scores are proper, or have a value that they should have:

    Brier        mean of (m - x)^2 over tries, x is 1 where a try is right: lower is better
    coverage     share of groups whose k lies in the central interval of at least 90%: 0.9 or more
    signal       P(0 < k < n), as foretold and as it came, and the Brier score of the first

Three rules are compared on the same groups: `beta`, the tracker's discounted counts with what an untried problem's
family foretells; `features`, which adds to that what an untried problem's features tell (foretelling.py); and `family`,
a plainer one, Beta(1 + h, 1 + m), h and m the discounted hits and misses of the problem's family, as if all its
problems were alike. The scores are a fold of the stored history, so that a run need not have kept them. Left out:
graded scores, by which a group may have a signal whose tries are all right.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma
from typing import Literal

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.posterior import Counts, beta_mean
from store.records import Foretold, PassRate, StepHistory

LEVEL = 0.9  # of the intervals
Rule = Literal["beta", "features", "family"]


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
    """A group, and what was foretold of it. `is_first`: nobody had tried the problem before. Else `features` has
    nothing to add, and is None."""

    step: int
    is_first: bool
    tries: int
    right: int
    beta: Forecast
    family: Forecast
    features: Forecast | None = None

    def by(self, rule: Rule) -> Forecast | None:
        return {"beta": self.beta, "features": self.features, "family": self.family}[rule]


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


def scored(
    history: Iterable[StepHistory],
    settings: CurriculumSettings,
    foretold: Mapping[tuple[int, str], Foretold] | None = None,
) -> Iterator[Scored]:
    """Every group of a run with the forecasts that were possible before its step, in the order of steps and ids.

    `foretold`, by step and problem: what the run itself stored. Without it, as in a run before schema 0016, features
    are the general ones, and not those that a domain names."""
    tracker, families = Tracker(settings), dict[str, Counts]()
    kept = foretold or {}
    for step in history:
        untried = tracker.untried_in(step)
        new = {problem.problem_id: problem for problem in step.problems}
        groups = sorted((rate for rate in step.pass_rates if rate.attempts), key=_place)
        for rate in groups:
            problem = new.get(rate.problem_id) or tracker.problem(rate.problem_id)
            known = families.get(problem.family, Counts()).at(tracker.version, settings.family_forgetting)
            is_first, features = rate.problem_id in untried, None
            if is_first:
                row = kept.get((step.step, rate.problem_id))
                told = tracker.untried_forecast(problem, "features", untried[rate.problem_id][1])
                features = Forecast(*told) if row is None else Forecast(row.features_mean, row.features_strength)
            yield Scored(
                step=step.step,
                is_first=is_first,
                tries=rate.attempts,
                right=rate.successes,
                beta=Forecast(*(tracker.untried_forecast(problem, "beta") if is_first else tracker.forecast(problem))),
                family=Forecast(beta_mean(*known), 2.0 + sum(known)),
                features=features,
            )
        tracker.observe(step)
        for rate in groups:
            counts = families.setdefault(tracker.problem(rate.problem_id).family, Counts())
            wrong = rate.attempts - rate.successes
            counts.add(rate.successes, wrong, rate.policy_version, settings.family_forgetting)


def scores(groups: Sequence[Scored], rule: Rule = "beta") -> Scores | None:
    """Of what a rule foretold; None without groups that it foretold."""
    asked = [(each, forecast) for each in groups if (forecast := each.by(rule)) is not None]
    if not asked:
        return None
    tries = sum(each.tries for each, _ in asked)
    signals = [(0 < each.right < each.tries, forecast.signal(each.tries)) for each, forecast in asked]
    covered = [low <= each.right <= high for each, (low, high) in ((e, f.interval(e.tries)) for e, f in asked)]
    squares = (e.right * (1.0 - f.mean) ** 2 + (e.tries - e.right) * f.mean**2 for e, f in asked)
    return Scores(
        groups=len(asked),
        pass_rate=sum(each.right for each, _ in asked) / tries,
        foretold=sum(each.tries * forecast.mean for each, forecast in asked) / tries,
        brier=sum(squares) / tries,
        coverage=sum(covered) / len(asked),
        signal=sum(came for came, _ in signals) / len(asked),
        signal_foretold=sum(chance for _, chance in signals) / len(asked),
        signal_brier=sum((came - chance) ** 2 for came, chance in signals) / len(asked),
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
