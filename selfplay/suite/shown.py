"""A report as people read it, and as one JSON value."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from selfplay.stats.pass_at_k import Estimate, doubling, mean_pass_at_k
from selfplay.suite.passing import SampledSet
from selfplay.suite.records import ComparedPassing, ModelReport, Report, SetReport


def report_json(report: Report) -> dict[str, Any]:
    """Plain values. Estimates are [value, low, high]; per-problem outcomes are left to `--out`."""
    found = asdict(report)
    for model in (found["model"], found["against"]):
        for each in () if model is None else model["sets"]:
            del each["problems"]
            each["pass_at_k"] = {str(k): value for k, value in each["pass_at_k"].items()}
    return found


def model_rows(model: ModelReport) -> list[dict[str, str]]:
    """One row a figure, one column a set."""
    columns = {each.set_name: dict(_figures(each)) for each in model.sets}
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    return [{"": name} | {one: figures.get(name, "") for one, figures in columns.items()} for name in names]


def compared_rows(report: Report) -> list[Mapping[str, Any]]:
    """One row for each figure of each set."""
    return [
        {
            "set": each.set_name,
            "figure": each.figure,
            "both right": each.both,
            "only A": each.only_first,
            "only B": each.only_second,
            "neither": each.neither,
            "A - B [95%]": _shown(each.difference, "+.3f"),
            "p (McNemar)": f"{each.p_value:.2g}",
        }
        for each in report.compared
    ]


def passing_rows(passing: Iterable[ComparedPassing]) -> list[Mapping[str, Any]]:
    """One row for each k of each set."""
    return [
        {"set": each.set_name, "k": at.k, "A": _shown(at.first), "B": _shown(at.second)}
        | {"A - B [95%, bootstrap]": _shown(at.difference, "+.3f")}
        for each in passing
        for at in each.curves.at
    ]


def sampled_rows(found: Iterable[SampledSet]) -> list[dict[str, Any]]:
    """One row for each k of each model and set: [value, low, high] as they are."""
    rows = []
    for each in found:
        right = list(each.right.values())
        for k in doubling(each.samples):
            value, low, high = mean_pass_at_k(right, each.samples, k)
            rows.append({"model": each.named, "set": each.set_name, "k": k, "pass@k": value, "low": low, "high": high})
    return rows


def passing_lines(passing: Iterable[ComparedPassing]) -> Iterator[str]:
    """Of each set, where B overtakes A and who solved what with all samples."""
    for each in passing:
        found = each.curves
        ahead = f"B is ahead from k = {found.overtaken_at} on" if found.overtaken_at else "B is ahead at no k"
        yield (
            f"{each.set_name}: {ahead}, of 1 to {found.samples}; of {each.problems} problems both solved "
            f"{found.solved_by_both}, only A {found.solved_by_first}, only B {found.solved_by_second}, neither "
            f"{found.solved_by_neither}"
        )
        if each.perplexity is not None:
            own, other = each.perplexity
            yield f"{each.set_name}: perplexity of A's samples, a token: {own:.3f} under A, {other:.3f} under B"


def _figures(each: SetReport) -> Iterator[tuple[str, str]]:
    yield "problems", str(each.num_problems)
    yield "first try, greedy", _shown(each.first_try)
    yield "an answer could be read", f"{each.parsed:.3f}"
    if each.second_look is not None and each.change is not None:
        yield "second look", _shown(each.second_look)
        yield "second look - first try", _shown(each.change, "+.3f")
        yield "fixed / broken", f"{each.fixed:.3f} / {each.broken:.3f}"
    for k, estimate in each.pass_at_k.items():
        yield f"pass@{k}", _shown(estimate)
    if each.vote is not None:
        yield f"majority of {each.num_samples}", _shown(each.vote)
    if each.search is not None and each.best_of is not None:
        yield f"search, {each.search_budget} tokens", _shown(each.search)
        yield f"best of N, {each.search_budget} tokens", _shown(each.best_of)
    if each.unjudged:
        yield "not judged (as wrong)", str(each.unjudged)
    yield "tokens said, greedy, mean", f"{each.tokens_said:.1f}"
    yield "tokens run / in a flat batch", f"{each.tokens_computed:,} / {each.tokens_flat:,}"
    yield "seconds", f"{each.seconds:.1f}"


def _shown(estimate: Estimate, written_as: str = ".3f") -> str:
    value, low, high = (format(number, written_as) for number in estimate)
    return f"{value} [{low}, {high}]"
