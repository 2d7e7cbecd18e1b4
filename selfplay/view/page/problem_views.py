"""Tables of problems and proposals, a problem whole, and a step whole: what a page says of them, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfplay import metrics
from selfplay.view.charts.blocks import search_blocks, step_blocks
from selfplay.view.charts.chart import Chart
from selfplay.view.charts.posterior import posterior
from selfplay.view.charts.source import Source
from selfplay.view.page.library import Library
from selfplay.view.page.run_views import header, transcripts
from selfplay.view.queries import NotFound
from store.overview.records import ProblemLine, ProblemQuery
from store.records import Attempt, Fate, Origin, Outcome, ProblemState, Turn

MOST_ANCESTORS = 100
STEP_PROBLEMS = 60  # transcripts on the page of a step
FATES: Mapping[Fate, str] = {
    Fate.ACCEPTED: "became a problem and was tried in this step",
    Fate.SURPLUS: "valid and new, but the step had no room for it",
    Fate.UNPARSED: "not in the domain's syntax",
    Fate.TRUNCATED: "cut by the limit of length",
    Fate.INVALID: "read as a problem, but none that the domain allows",
    Fate.TOO_LARGE: "beyond the domain's limits of size, or too long for the model",
    Fate.DUPLICATE: "known already, or said twice in the step",
    Fate.TRIVIAL_EDIT: "the same as the problem that it was made of",
    Fate.HELD_OUT: "belongs to a held-out set, so it must not be trained on",
}


def problems(library: Library, name: str, query: ProblemQuery) -> dict[str, Any]:
    """One page of a run's problems, with what they can be filtered by."""
    with library.source(name) as source:
        page = source.store.problem_page(query)
        return {
            "run": header(library, name, source),
            "problems": [asdict(line) for line in page.lines],
            "matching": page.matching,
            "following": page.following,
            "choices": source.store.names()
            | {"state": [each.value for each in ProblemState], "origin": [each.value for each in Origin]},
        }


def proposals(
    library: Library, name: str, fates: tuple[Fate, ...], step: int | None, before: int | None
) -> dict[str, Any]:
    """What the challenger proposed, newest first, and what became of it."""
    with library.source(name) as source:
        lines, following = source.store.proposal_page(fates, step, before)
        counts = source.store.proposal_counts(step)
        return {
            "run": header(library, name, source),
            "proposals": [asdict(line) for line in lines],
            "following": following,
            "counts": {fate.value: counts.get(fate, 0) for fate in Fate},
            "meanings": {fate.value: FATES[fate] for fate in Fate},
        }


def problem(library: Library, name: str, problem_id: str) -> dict[str, Any]:
    """One problem: where it came from, what became of it, and every attempt at it."""
    with library.source(name) as source:
        line = _line(source, problem_id)
        record, _ = source.store.problem(line.problem_id)
        tried = source.store.attempts(line.problem_id)
        return {
            "run": header(library, name, source),
            "problem": asdict(line) | {"canonical": record.canonical, "answer_source": record.answer_source},
            "ancestors": [asdict(each) for each in _ancestors(source, line)],
            "children": [asdict(each) for each in source.store.children(line.problem_id)],
            "proposals": [asdict(each) for each in source.store.proposals_of(line.problem_id)],
            "meanings": {fate.value: FATES[fate] for fate in Fate},
            "groups": _groups(tried),
            "searched_in": sorted(source.store.search_nodes(line.problem_id)),
        }


def posterior_chart(library: Library, name: str, problem_id: str) -> Chart:
    """What the curriculum foretold of a problem."""
    with library.source(name) as source:
        line = _line(source, problem_id)
        return posterior(source.store.measured(line.problem_id), source.settings.forgetting)


def step(library: Library, name: str, number: int) -> dict[str, Any]:
    """One step: its figures, and what was said in it."""
    with library.source(name) as source:
        head = header(library, name, source)
        if not 1 <= number <= head["head_step"]:
            raise NotFound(f"the run has steps 1 to {head['head_step']}, not {number}")
        row = source.store.step(number)
        lines, _ = source.store.proposal_page(step=number, limit=500)
        return {
            "run": head,
            "step": number,
            "seconds": row.seconds,
            "committed_at": row.committed_at,
            "has_journal": row.journal_file is not None,
            "figures": _figures(row.metrics),
            "proposals": [asdict(each) for each in reversed(lines)],
            "meanings": {fate.value: FATES[fate] for fate in Fate},
            "said": transcripts(source, number, STEP_PROBLEMS)["said"],
        }


def blocks_chart(library: Library, name: str, number: int, searched: str = "") -> Chart:
    """What a step said as nested blocks; or, with a problem's id, what the judge searched at that problem."""
    with library.source(name) as source:
        if searched:
            nodes = source.store.search_nodes(_line(source, searched).problem_id).get(number)
            if nodes is None:
                raise NotFound(f"nothing was searched at problem {searched} in step {number}")
            return search_blocks(number, nodes)
        texts = {line.problem_id: line.text for line in source.store.lines_of_step(number)}
        return step_blocks(number, source.store.attempts_of_step(number), texts)


def _line(source: Source, problem_id: str) -> ProblemLine:
    found = source.store.problem_line(problem_id)
    if found is None:
        raise NotFound(f"the run has no problem {problem_id!r}: the table of problems has a search")
    return found


def _ancestors(source: Source, line: ProblemLine) -> list[ProblemLine]:
    """From the root down to the parent."""
    found: list[ProblemLine] = []
    above = line.parent_id
    while above is not None and len(found) < MOST_ANCESTORS:
        parent = source.store.problem_line(above)
        if parent is None:
            break
        found.append(parent)
        above = parent.parent_id
    return found[::-1]


def _groups(tried: Sequence[tuple[int, Attempt]]) -> list[dict[str, Any]]:
    """Attempts by step and policy version, newest first; attempts of a group that went alike in everything are one."""
    groups: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    for at, attempt in tried:
        group = groups.setdefault((at, attempt.first_version), {})
        said = repr((attempt.turns, attempt.report))
        kept = group.setdefault(said, asdict(attempt) | {"times": 0, "change": _change(attempt.turns)})
        kept["times"] += 1
    return [
        {
            "step": at,
            "version": version,
            "tried": sum(each["times"] for each in group.values()),
            "right": sum(each["times"] for each in group.values() if _is_right(each["turns"], 0)),
            "right_last": sum(each["times"] for each in group.values() if _is_right(each["turns"], -1)),
            "attempts": sorted(group.values(), key=lambda each: -each["times"]),
        }
        for (at, version), group in sorted(groups.items(), reverse=True)
    ]


def _is_right(turns: Sequence[Mapping[str, Any]], place: int) -> bool:
    return bool(turns) and turns[place]["outcome"] == Outcome.CORRECT


def _change(turns: Sequence[Turn]) -> str:
    """What the second look did to the first answer."""
    if len(turns) < 2:
        return ""
    was, now = (turn.outcome is Outcome.CORRECT for turn in (turns[0], turns[-1]))
    if was != now:
        return "fixed" if now else "broken"
    return "kept" if turns[0].answer == turns[-1].answer else "changed"


def _figures(stored: Mapping[str, float]) -> list[dict[str, Any]]:
    """The figures of a step by section, with their unit, meaning and how to read them."""
    found = []
    for section in metrics.STEP_SECTIONS:
        rows = [(name, metric) for metric in section.metrics for name in sorted(stored) if metric.matches(name)]
        if rows:
            figures = [
                {"name": name, "value": stored[name], "shown": metrics.shown(stored, name), "unit": metric.unit.name,
                 "help": metric.help, "reading": metric.reading}
                for name, metric in rows
            ]  # fmt: skip
            found.append({"title": section.title, "figures": figures})
    return found
