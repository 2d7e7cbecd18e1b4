"""When an alarm is raised and when it is over: pure rules on the figures of a run's newest steps.

A guard compares a mean over a few steps, so that one odd step is no alarm. It is raised beyond one bound and over
behind another, so that a figure that trembles at a bound is one alarm and not twenty. What it decides depends on the
figures of the watched steps and on the alarms that are open. Both are stored, so a run that is resumed decides as one
that was not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selfplay import metrics
from store.records import Alarm, AlarmEvent

WATCHED_STEPS = 60  # the newest ones: what was learned long ago may be given up for something better

Kind = Literal["above", "below", "rise", "fall"]


@dataclass(frozen=True, slots=True)
class Guard:
    """Watches `figure`, as a mean over `steps` of the steps in which it was measured.

    kind   raised where the mean is             over where it is
    above  above `opens`                        at `closes` or below
    below  below `opens`                        at `closes` or above
    rise   above `opens`, and was at `closes`   at `closes` or below
           or below in the watched steps
    fall   below `opens` times the largest      at `closes` times that largest mean or above
           mean in the watched steps

    A rise with a `stake`, (another figure, value), also needs a mean of that of at least as much in the watched steps
    before. `least`: (another figure, value), a step with less of which says too little to be counted. `says` may have
    {now}, {bound}, {best} (of a fall) and {detail} in it; `advice` says what to do.
    """

    name: str
    figure: str
    kind: Kind
    opens: float
    closes: float
    says: str
    advice: str
    steps: int = 3
    least: tuple[str, float] = (metrics.PROBLEMS, 0.0)
    stake: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """An alarm that is not over, and the step that raised it."""

    step: int
    alarm: Alarm


def watched(
    guards: Sequence[Guard],
    recent: Sequence[Mapping[str, float]],
    opened: Mapping[str, Open],
    details: Mapping[str, str],
) -> tuple[Alarm, ...]:
    """What the newest step raises and what is over with it. `recent`: figures of the watched steps, oldest first."""
    found = [_judged(guard, recent, opened.get(guard.name), details.get(guard.figure, "")) for guard in guards]
    return tuple(alarm for alarm in found if alarm is not None)


def after(opened: Mapping[str, Open], step: int, alarms: Sequence[Alarm]) -> dict[str, Open]:
    """The open alarms by name, once `step` has raised or ended `alarms`."""
    left = dict(opened)
    for alarm in alarms:
        if alarm.event is AlarmEvent.RAISED:
            left[alarm.name] = Open(step, alarm)
        else:
            left.pop(alarm.name, None)
    return left


def _judged(guard: Guard, recent: Sequence[Mapping[str, float]], opened: Open | None, detail: str) -> Alarm | None:
    if not recent or not _counts(guard, recent[-1]):
        return None
    counted = [step for step in recent if _counts(guard, step)]
    means = _means([step[guard.figure] for step in counted], guard.steps)
    if not means:
        return None
    if opened is not None:
        return _over(guard, means[-1], opened)
    return _raised(guard, means, detail) if _has_stake(guard, counted[: -guard.steps]) else None


def _means(values: Sequence[float], steps: int) -> list[float]:
    """Of each `steps` values in a row."""
    return [sum(values[i : i + steps]) / steps for i in range(len(values) - steps + 1)]


def _counts(guard: Guard, step: Mapping[str, float]) -> bool:
    name, value = guard.least
    return guard.figure in step and step.get(name, 0.0) >= value


def _has_stake(guard: Guard, before: Sequence[Mapping[str, float]]) -> bool:
    if guard.stake is None:
        return True
    name, least = guard.stake
    values = [step.get(name, 0.0) for step in before]
    return bool(values) and sum(values) / len(values) >= least


def _raised(guard: Guard, means: Sequence[float], detail: str) -> Alarm | None:
    now, before = means[-1], means[: -guard.steps]  # means that share no step with the newest
    best = max((*before, now))
    bound = guard.opens * best if guard.kind == "fall" else guard.opens
    is_beyond = now > bound if guard.kind in ("above", "rise") else now < bound
    if not is_beyond or (guard.kind == "rise" and not any(mean <= guard.closes for mean in before)):
        return None
    said = {"now": _shown(guard, now), "bound": _shown(guard, bound), "best": _shown(guard, best), "detail": detail}
    return Alarm(guard.name, AlarmEvent.RAISED, now, bound, guard.says.format(**said), guard.advice)


def _over(guard: Guard, now: float, opened: Open) -> Alarm | None:
    """By the bound at which it was raised: of a fall, the largest mean may have left the watched steps since."""
    then = opened.alarm
    bound = then.threshold * guard.closes / guard.opens if guard.kind == "fall" else guard.closes
    is_over = now <= bound if guard.kind in ("above", "rise") else now >= bound
    if not is_over:
        return None
    text = f"{guard.name} is over: {_shown(guard, now)}, {_shown(guard, then.figure)} when it was raised at step "
    return Alarm(guard.name, AlarmEvent.OVER, now, bound, f"{text}{opened.step}", "")


def _shown(guard: Guard, value: float) -> str:
    return metrics.shown({guard.figure: value}, guard.figure)
