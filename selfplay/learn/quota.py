"""A quota of what a step teaches for the right answers of formats that are seldom (`train.format_quota`)."""

from collections.abc import Sequence
from dataclasses import replace

from roles.pay.formats import quota_scales
from roles.solver import turn_label
from selfplay.learn.batch import TrainSample
from selfplay.learn.lessons import SolverLesson


def with_quota(lessons: Sequence[SolverLesson], formats: Sequence[Sequence[str]], quota: float) -> list[SolverLesson]:
    """The lessons with the positive advantages of first tries multiplied by `quota_scales`. `formats`: of each lesson,
    that of the first try of each judged attempt.

    What a format has is the sum of advantage times tokens over its right first tries in the step: that is what the loss
    sums. Second looks, reports and negative advantages stay as they are.
    """
    names = [_names(lesson, told) for lesson, told in zip(lessons, formats, strict=True)]
    masses: dict[str, float] = {}
    for lesson, of_samples in zip(lessons, names, strict=True):
        for sample, name in zip(lesson.samples, of_samples, strict=True):
            if name is not None:
                masses[name] = masses.get(name, 0.0) + max(sample.advantage, 0.0) * sample.num_tokens
    scales = quota_scales(masses, quota)
    return [
        replace(lesson, samples=tuple(map(_scaled, lesson.samples, (scales.get(n or "", 1.0) for n in of_samples))))
        for lesson, of_samples in zip(lessons, names, strict=True)
    ]


def _names(lesson: SolverLesson, told: Sequence[str]) -> list[str | None]:
    """The format of each sample that is a first try, None of any other."""
    firsts = iter(told)
    return [next(firsts) if sample.label == turn_label(0) else None for sample in lesson.samples]


def _scaled(sample: TrainSample, scale: float) -> TrainSample:
    return replace(sample, advantage=sample.advantage * scale) if sample.advantage > 0 else sample
