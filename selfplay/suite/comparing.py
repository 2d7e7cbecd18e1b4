"""Two models on the same problems, problem by problem."""

import math
from collections.abc import Callable, Iterator, Mapping

from selfplay.stats.intervals import mcnemar, paired_interval
from selfplay.stats.pass_at_k import Estimate
from selfplay.suite.records import Compared, ModelReport, ProblemOutcome, SetReport

_Figure = Callable[[ProblemOutcome], bool]


def compared(first: ModelReport, second: ModelReport) -> Iterator[Compared]:
    """Every figure that both have and that is yes or no of a problem. ValueError where the problems differ."""
    for one, other in zip(first.sets, second.sets, strict=True):
        if [each.problem_id for each in one.problems] != [each.problem_id for each in other.problems]:
            raise ValueError(f"{one.set_name}: the two models were asked different problems")
        for name, figure in _figures(one).items():
            pairs = [(figure(a), figure(b)) for a, b in zip(one.problems, other.problems, strict=True)]
            only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
            yield Compared(
                set_name=one.set_name,
                figure=name,
                both=pairs.count((True, True)),
                only_first=only_first,
                only_second=only_second,
                neither=pairs.count((False, False)),
                difference=Estimate(*paired_interval(only_first, only_second, len(pairs))),
                p_value=mcnemar(only_first, only_second),
            )


def _figures(report: SetReport) -> Mapping[str, _Figure]:
    found: dict[str, _Figure] = {"first try": lambda each: each.has_first_right}
    if report.second_look is not None:
        found["second look"] = lambda each: each.has_last_right
    if report.num_samples:
        found[f"pass@{report.num_samples}"] = lambda each: each.num_right > 0
        found["vote"] = lambda each: bool(each.vote)
    if report.search_budget:
        found["search"] = lambda each: (each.search_tokens or math.inf) <= report.search_budget
    return found
