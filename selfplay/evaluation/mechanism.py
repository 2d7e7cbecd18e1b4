"""Distribution shift of mistakes: second looks at the start model's mistakes and at one's own, and how these differ.

A model that imitates corrections of the start model's mistakes learns to mend those, while its own mistakes change
(SCoRe, arXiv 2409.12917, section 4). Evaluations measure both with `evaluate.mechanism`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from roles.judging.groups import JudgedGroup
from selfplay import metrics

Errors = Counter[tuple[str, str | None]]  # (problem_id, wrong answer), None: nothing could be read


def mechanism_metrics(at_start: Sequence[JudgedGroup], at_own: Sequence[JudgedGroup]) -> dict[str, float]:
    """From sampled second looks at the start model's first tries (`at_start`) and at one's own.

    fix_*: share of wrong first tries that were mended; break_*: share of right ones that were broken.
    error_distance = (TV(own even, start even) + TV(own odd, start odd)) / 2 over the wrong answers of even and of odd
    samples. error_floor = TV(start even, start odd), which is what chance alone gives.
    """
    even, odd = _errors(at_start, 0), _errors(at_start, 1)
    distance = (total_variation(_errors(at_own, 0), even) + total_variation(_errors(at_own, 1), odd)) / 2
    return {
        metrics.FIX_START: _share_right(at_start, after_right=False),
        metrics.FIX_OWN: _share_right(at_own, after_right=False),
        metrics.BREAK_START: 1.0 - _share_right(at_start, after_right=True, nothing=1.0),
        metrics.BREAK_OWN: 1.0 - _share_right(at_own, after_right=True, nothing=1.0),
        metrics.ERROR_DISTANCE: distance,
        metrics.ERROR_FLOOR: total_variation(even, odd),
    }


def total_variation(one: Errors, other: Errors) -> float:
    """TV = sum over x of |p(x) - q(x)| / 2, in [0, 1]; 1 where only one is empty, 0 where both are."""
    if not one or not other:
        return float(bool(one) != bool(other))
    n, m = one.total(), other.total()
    return sum(abs(one[key] / n - other[key] / m) for key in one.keys() | other.keys()) / 2


def _errors(groups: Iterable[JudgedGroup], half: int) -> Errors:
    """Wrong first answers of the attempts with even (`half` 0) or odd (1) numbers."""
    return Counter(
        (group.problem.problem_id, attempt.turns[0].answer)
        for group in groups
        for attempt in group.attempts[half::2]
        if not attempt.turns[0].is_right
    )


def _share_right(groups: Iterable[JudgedGroup], after_right: bool, nothing: float = 0.0) -> float:
    """Share of last turns that are right, after first tries that were, or were not; `nothing` where there are none."""
    after = [
        attempt.is_right for group in groups for attempt in group.attempts if attempt.turns[0].is_right == after_right
    ]
    return sum(after) / len(after) if after else nothing
