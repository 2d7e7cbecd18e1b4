"""By which steps a run's weights were made: all of them, unless it went back.

A run that goes back at step 60 to the weights of step 40 has the weights of steps 1 to 40 and 61 on: what steps 41 to
60 did to weights is undone. Their problems, attempts and pass rates stay, and so do their rows. So what a resume makes
again, which checkpoints count as the newest, and which journals are needed is asked of this path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.records import Pick


@dataclass(frozen=True, slots=True)
class WeightsPath:
    """The steps whose updates made the weights that the run stands at, as ranges in order. `versions`: where the run
    went back, by the step after which it did, the policy version that it went on with."""

    parts: tuple[range, ...]
    versions: Mapping[int, int]

    def has(self, step: int) -> bool:
        """Whether these weights were made of those after `step`. Step 0, the start, is on every path."""
        return step == 0 or any(step in part for part in self.parts)


def weights_path(head: int, picks: Sequence[Pick]) -> WeightsPath:
    """Of the weights that a run has after step `head`, and after what was picked there."""
    back = sorted((pick for pick in picks if pick.is_rollback and pick.step <= head), key=lambda each: each.step)
    parts: list[range] = []
    last = head
    while back:
        pick = back.pop()
        if pick.step > last or (pick.step == last != head):
            continue  # what was undone went back itself, or goes back only after the weights of `last` were made
        parts.append(range(pick.step + 1, last + 1))
        last = pick.best_step
    parts.append(range(1, last + 1))
    return WeightsPath(tuple(reversed(parts)), {pick.step: pick.policy_version for pick in picks if pick.is_rollback})
