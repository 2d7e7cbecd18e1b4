"""What advantages are divided by, where a published loss wants them divided. By default they are not: see
roles/pay/advantages.py for why."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from selfplay.learn.batch import TrainSample

ScaleRule = Literal["none", "group", "batch"]
EPSILON = 1e-4  # added to a standard deviation, as TRL does


def scaled_by_group(advantages: Sequence[float], rewards: Sequence[float]) -> list[float]:
    """A / (std + 1e-4), with the standard deviation (n - 1) of the group's rewards: GRPO (arXiv 2402.03300).

    Where all are paid alike nothing is divided: second looks alone in their strata have a baseline from elsewhere.
    """
    by = _divisor(rewards)
    return [advantage / by for advantage in advantages]


def scaled_by_batch(samples: Sequence[TrainSample]) -> list[TrainSample]:
    """A / (std + 1e-4), with that of all advantages of a label in kept groups: REINFORCE++ with a group's mean as its
    baseline (arXiv 2501.03262). A label whose advantages are all alike is left as it is."""
    labels = {sample.label for sample in samples}
    by = {
        name: _divisor([each.advantage for each in samples if each.label == name and each.is_kept]) for name in labels
    }
    return [replace(each, advantage=each.advantage / by[each.label]) for each in samples]


def _divisor(values: Sequence[float]) -> float:
    """The sample's standard deviation and EPSILON; 1 where all are alike."""
    if len(values) < 2 or min(values) == max(values):
        return 1.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) + EPSILON
