"""Evaluates one model, or two on the same problems."""

import gc
from collections.abc import Callable
from dataclasses import replace

from selfplay.model.weights.loading import require_there
from selfplay.run.build import build_evaluator
from selfplay.suite.comparing import compared
from selfplay.suite.loading import LoadedPolicy, load
from selfplay.suite.measuring import measure
from selfplay.suite.passing import compared_passing, sampled_sets
from selfplay.suite.perplexity import under, vocabulary
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
    asked = load(prepared.first, note) if loaded is None else loaded
    first, known = asked_all(asked, prepared, note), vocabulary(asked.policy.tokenizer)
    if prepared.second is None:
        return Report(first)
    del asked, loaded
    gc.collect()
    other = load(with_settings_of(prepared.second, prepared.first), note)
    if prepared.num_samples:
        first = found_likely(first, known, other, prepared, note)
    second = asked_all(other, prepared, note)
    passing = compared_passing(sampled_sets(first), sampled_sets(second))
    return Report(first, second, tuple(compared(first, second)), tuple(passing))


def found_likely(first: ModelReport, known: str, other: LoadedPolicy, prepared: Prepared, note: Note) -> ModelReport:
    """`first` with how likely the other model finds the samples of the first, where both have the same tokens
    (`known`: the digest of the first)."""
    if vocabulary(other.policy.tokenizer) != known:
        note("no perplexity of the first model's samples under the second: their tokenizers differ")
        return first
    config, reports = with_settings_of(other.subject, prepared.first).config, []
    for report, each in zip(first.sets, prepared.sets, strict=True):
        note(f"{each.name}: how likely {other.subject.name} finds the samples of {first.model} ...")
        evaluator = build_evaluator(config, other.policy, other.parity, each.domain, {each.name: each.problems}, note)
        reports.append(under(report, each, evaluator, other))
    return replace(first, sets=tuple(reports))


def asked_all(loaded: LoadedPolicy, prepared: Prepared, note: Note) -> ModelReport:
    """One model on all sets, asked as the settings of the first have it."""
    reports = []
    config = with_settings_of(loaded.subject, prepared.first).config
    for each in prepared.sets:
        sets = {each.name: each.problems}
        evaluator = build_evaluator(config, loaded.policy, loaded.parity, each.domain, sets, note)
        reports.append(measure(evaluator, each, prepared.num_samples, loaded.step, note))
        evaluator.sampler.end_sampling()
    return ModelReport(loaded.subject.name, loaded.step, tuple(reports))
