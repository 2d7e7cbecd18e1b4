"""Evaluates one model, or two on the same problems."""

import gc
from collections.abc import Callable

from selfplay.model.weights.loading import require_there
from selfplay.run.build import build_evaluator
from selfplay.suite.comparing import compared
from selfplay.suite.loading import LoadedPolicy, load
from selfplay.suite.measuring import measure
from selfplay.suite.passing import compared_passing, sampled_sets
from selfplay.suite.records import ModelReport, Report
from selfplay.suite.request import Prepared
from selfplay.suite.subjects import with_settings_of

Note = Callable[[str], None]


def evaluate(prepared: Prepared, note: Note, loaded: LoadedPolicy | None = None) -> Report:
    """Both models are asked as the settings of the first have it, one after the other: two need not fit in memory.

    `loaded`: the first, where it is loaded already. `note` hears how far it is.
    """
    if prepared.second is not None:  # a name that was mistyped is said now, not after the first was measured
        require_there(prepared.second.config.model.name)
    first = _one(load(prepared.first, note) if loaded is None else loaded, prepared, note)
    if prepared.second is None:
        return Report(first)
    gc.collect()
    second = _one(load(with_settings_of(prepared.second, prepared.first), note), prepared, note)
    passing = compared_passing(sampled_sets(first), sampled_sets(second))
    return Report(first, second, tuple(compared(first, second)), tuple(passing))


def _one(loaded: LoadedPolicy, prepared: Prepared, note: Note) -> ModelReport:
    reports = []
    config = with_settings_of(loaded.subject, prepared.first).config
    for each in prepared.sets:
        sets = {each.name: each.problems}
        evaluator = build_evaluator(config, loaded.policy, loaded.parity, each.domain, sets, note)
        reports.append(measure(evaluator, each, prepared.num_samples, loaded.step, note))
        evaluator.sampler.end_sampling()
    return ModelReport(loaded.subject.name, loaded.step, tuple(reports))
