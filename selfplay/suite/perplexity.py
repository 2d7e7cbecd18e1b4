"""How likely one model finds what another one has sampled: with the model that a run began with as the judge, whether
what training made likely was likely before (Yue et al., arXiv 2504.13837, section on perplexity)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xxhash

from roles.tree import ROOT, Tree
from selfplay.evaluation.evaluator import PROBLEMS_PER_TREE, Evaluator
from selfplay.learn.batch import NOT_SAMPLED, TrainSample, build_batch
from selfplay.suite.loading import LoadedPolicy
from selfplay.suite.records import ProblemOutcome, SetReport
from selfplay.suite.rescoring import logprobs_of
from selfplay.suite.sets import NamedSet
from store.records import Problem

_LABEL = "sampled"  # of no role: log-probabilities are at temperature 1, as these samples were drawn
_TOKENS_AT_ONCE = 1 << 18  # of samples: a problem's are never parted


def vocabulary(tokenizer: Any) -> str:
    """A digest of a tokenizer's tokens and their ids: ids of one mean the same to another with the same digest."""
    known = getattr(tokenizer, "get_vocab", None)  # which a tiny model's, of bytes, lacks
    texts = [tokenizer.decode([i]) for i in range(len(tokenizer))] if known is None else sorted(known().items())
    return xxhash.xxh3_128_hexdigest(repr(texts).encode("utf-8", "surrogatepass"))


def under(report: SetReport, named: NamedSet, evaluator: Evaluator, loaded: LoadedPolicy) -> SetReport:
    """`report` with `nats_against` of each problem's samples: -sum of log p by `loaded`, which `evaluator` asks in its
    own words."""
    found = []
    for some in _parted(report.problems):
        asked = [named.problems[place] for place, _ in some]
        found += _nats([each for _, each in some], asked, evaluator, loaded)
    return replace(report, problems=tuple(found))


def _parted(problems: Sequence[ProblemOutcome]) -> Iterable[list[tuple[int, ProblemOutcome]]]:
    """Few enough at once, each with its place."""
    some: list[tuple[int, ProblemOutcome]] = []
    for place, each in enumerate(problems):
        held = sum(other.num_tokens for _, other in some)
        if some and (len(some) == PROBLEMS_PER_TREE or held + each.num_tokens > _TOKENS_AT_ONCE):
            yield some
            some = []
        some.append((place, each))
    if some:
        yield some


def _nats(
    outcomes: Sequence[ProblemOutcome], asked: Sequence[Problem], evaluator: Evaluator, loaded: LoadedPolicy
) -> list[ProblemOutcome]:
    tree = Tree()
    ends: list[list[tuple[int, int]]] = []
    for outcome, problem in zip(outcomes, asked, strict=True):
        prompt = tree.extend(ROOT, evaluator.encode(evaluator.style.solver(problem), None))
        said = [turn.ids for turn in outcome.sampled if turn.ids]
        ends.append([(tree.sampled(prompt, ids, [NOT_SAMPLED] * len(ids), _LABEL), len(ids)) for ids in said])
    samples = [TrainSample(_LABEL, node, length, 1.0) for each in ends for node, length in each]
    if not samples:
        return [replace(each, nats_against=0.0) for each in outcomes]
    batch = build_batch(tree, samples, {_LABEL: 1.0})
    by_row = logprobs_of(batch, loaded)
    nodes = sorted({node for each in ends for end, length in each for node in tree.tail(end, length)})
    nats = np.zeros(len(tree))
    nats[nodes] = -by_row  # the batch's trained tokens are these nodes, in order
    return [
        replace(
            outcome,
            nats_against=float(sum(nats[node] for end, length in mine for node in tree.tail(end, length))),
        )
        for outcome, mine in zip(outcomes, ends, strict=True)
    ]
