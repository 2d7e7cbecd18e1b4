"""The list of runs, and one run whole: what a page says of them, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfplay import metrics
from selfplay.config.defaults import settings
from selfplay.config.stored import stored_value, what_was_run
from selfplay.evaluation.formats import paired_change
from selfplay.machine.exits import line_of
from selfplay.machine.run_folder import last_worked
from selfplay.view.charts import calibration, catalogue, curriculum
from selfplay.view.charts.alarms import alarms
from selfplay.view.charts.evaluations import set_names
from selfplay.view.charts.source import Source
from selfplay.view.page.library import Library, RunState
from selfplay.view.queries import worked_seconds
from store.errors import StoreError
from store.records import Evaluation

SHOWN_PROBLEMS = 4  # of a step's, as transcripts on the page of a run
MOST_FAMILIES = 12
_Cache = dict[str, tuple[tuple[int, int], dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of the list of runs, kept until the run stores something more."""

    library: Library
    known: _Cache

    def line(self, name: str) -> dict[str, Any]:
        stamp = self.library.stamp(name)
        if self.known.get(name, (None, {}))[0] != stamp:
            self.known[name] = stamp, _line(self.library, name)
        return self.known[name][1]


def runs(lines: Lines) -> dict[str, Any]:
    """Every run; one that cannot be read has its reason in `error`, and hides no other."""
    library, found = lines.library, []
    for name in library.names():
        row: dict[str, Any] = {"name": name, "last_worked": last_worked(library.folder / name) / 1e9}
        try:
            row |= lines.line(name)
            row["state"] = library.state(name, row["head_step"], row["steps"]).value
        except StoreError as error:
            row |= {"error": line_of(error), "state": "unreadable"}
        found.append(row)
    order = {RunState.LIVE.value: 0}
    found.sort(key=lambda row: (order.get(row["state"], 1), -row["last_worked"]))
    return {"folder": str(library.folder), "runs": found}


def _line(library: Library, name: str) -> dict[str, Any]:
    with library.source(name) as source:
        evaluations = source.evaluations
        reached = curriculum.frontiers(source)
        return {
            "head_step": source.store.head().step,
            "steps": _num_steps(source),
            "what": what_was_run(source.config),
            "model": str(stored_value(source.config, "model.name") or ""),
            "seconds": round(worked_seconds(source.store, evaluations), 1),
            "frontier": reached[-1][1] if reached else None,
            "size_bytes": library.size_bytes(name),
            "sets": [_set_line(evaluations, each) for each in set_names(source)],
        }


def _num_steps(source: Source) -> int | None:
    steps = stored_value(source.config, "run.steps")
    return steps if isinstance(steps, int) else None


def _set_line(evaluations: Sequence[Evaluation], name: str) -> dict[str, Any]:
    rows = [each for each in evaluations if each.set_name == name]
    points = [(each.step, each.metrics[metrics.ACC_T1]) for each in rows if metrics.ACC_T1 in each.metrics]
    return {"set": name, "before": points[0][1], "after": points[-1][1], "points": points, "steps": len(points)}


def header(library: Library, name: str, source: Source) -> dict[str, Any]:
    """What stands at the top of every page of a run."""
    head, steps = source.store.head().step, _num_steps(source)
    return {
        "name": name,
        "stored_name": source.store.run().name,
        "state": library.state(name, head, steps).value,
        "head_step": head,
        "steps": steps,
        "what": what_was_run(source.config),
        "model": str(stored_value(source.config, "model.name") or ""),
        "seed": source.store.run().seed,
    }


def run(library: Library, name: str) -> dict[str, Any]:
    """One run: in short, what it is drawn by, and what was said last."""
    with library.source(name) as source:
        head = header(library, name, source)
        found = alarms(source)
        changes = [_change(source, each) for each in set_names(source)]
        reached = curriculum.frontiers(source)
        tokens = [sum(row.metrics.get(key, 0.0) for row in source.steps) for key in _TOKENS]
        of_sets, of_families = source.store.examples()
        return {
            "run": head,
            "seconds": round(worked_seconds(source.store, source.evaluations), 1),
            "tokens": {"computed": tokens[0], "flat": tokens[1]},
            "sets": [each | {"example": of_sets.get(each["set"])} for each in changes],
            "frontier": {"first": reached[0][1], "last": reached[-1][1]} if reached else None,
            "num_problems": len(source.problems),
            "families": [each | {"example": of_families.get(each["family"])} for each in _families(source)],
            "all_families": sorted({each.family for each in source.problems.values()}),
            "alarms": [asdict(mark) for mark in found],
            "sections": _sections(source),
            "changed_settings": [asdict(each) for each in settings(source.config) if each.is_changed],
            "step": transcripts(source, head["head_step"], SHOWN_PROBLEMS) if head["head_step"] else None,
        }


_TOKENS = (metrics.TOKENS_COMPUTED, metrics.TOKENS_FLAT)


def _change(source: Source, name: str) -> dict[str, Any]:
    """A held-out set at the start and now, and the change of its first try, problem by problem."""
    rows = [each for each in source.evaluations if each.set_name == name]
    first, last = rows[0], rows[-1]
    number = min(len(first.outcomes), len(last.outcomes))
    change = paired_change(first.outcomes[:number], last.outcomes[:number], turn=0)
    figures = {turn: {"before": first.metrics.get(turn), "after": last.metrics.get(turn)} for turn in _TURNS}
    return {
        "set": name,
        "n": number,
        "from_step": first.step,
        "to_step": last.step,
        "first_try": figures[metrics.ACC_T1],
        "second_look": figures[metrics.ACC_T2],
        "change": dict(zip(("mean", "low", "high"), (round(each, 4) for each in change), strict=True)),
        "points": [(each.step, each.metrics[metrics.ACC_T1]) for each in rows if metrics.ACC_T1 in each.metrics],
    }


_TURNS = (metrics.ACC_T1, metrics.ACC_T2)


def _families(source: Source) -> list[dict[str, Any]]:
    """Families that were tried most: the share of right first tries in the first and the last third of the steps."""
    last_step = source.steps[-1].step if source.steps else 0
    thirds: dict[str, list[list[int]]] = {}
    for row in source.measured:
        third = min(2, 3 * (row.step - 1) // max(1, last_step))
        counts = thirds.setdefault(source.problems[row.problem_id].family, [[0, 0], [0, 0], [0, 0]])[third]
        counts[0] += row.attempts
        counts[1] += row.successes
    most = sorted(thirds.items(), key=lambda item: -sum(n for n, _ in item[1]))[:MOST_FAMILIES]
    return [
        {"family": family, "tried": sum(n for n, _ in counts), "thirds": [k / n if n else None for n, k in counts]}
        for family, counts in most
    ]


def _sections(source: Source) -> list[dict[str, Any]]:
    """The charts of the page, by section. Of those that are drawn for each held-out set, one for each."""
    found = []
    for title, keys in catalogue.SECTIONS.items():
        charts: list[dict[str, str]] = []
        for key in keys:
            if key == calibration.KEY and not calibration.has_reports(source):
                continue  # what the curriculum foretold is a fold of the whole history: `inspect plot` draws it
            charts += [{"key": key, "set": each.set_name} for each in catalogue.wanted_of(source, key)]
        found.append({"title": title, "charts": charts})
    return found


def transcripts(source: Source, step: int, limit: int) -> dict[str, Any]:
    """What was said in a step: of each problem its first attempt, and how its group fared; `limit` problems at most."""
    texts = {line.problem_id: line for line in source.store.lines_of_step(step)}
    groups: dict[str, list[Any]] = {}
    for attempt in source.store.attempts_of_step(step):
        groups.setdefault(attempt.problem_id, []).append(attempt)
    chosen = [problem_id for problem_id in texts if problem_id in groups][:limit]
    return {
        "step": step,
        "said": [
            {
                "problem": asdict(texts[problem_id]),
                "attempt": asdict(groups[problem_id][0]),
                "right": sum(a.turns[0].outcome == "CORRECT" for a in groups[problem_id] if a.turns),
                "tried": len(groups[problem_id]),
            }
            for problem_id in chosen
        ],
    }


def config(library: Library, name: str) -> dict[str, Any]:
    """Every setting of a run beside its default."""
    with library.source(name) as source:
        return {
            "run": header(library, name, source),
            "settings": [asdict(each) for each in settings(source.config)],
            "processes": [asdict(each) for each in source.store.incarnations()],
        }


def compared(library: Library, names: Sequence[str]) -> dict[str, Any]:
    """Several runs: their settings where they differ, what each reached, and how they differ on the same problems."""
    rows: list[dict[str, Any]] = []
    values: dict[str, dict[str, Any]] = {}
    evaluations: dict[str, Mapping[str, Evaluation]] = {}
    sets: set[str] = set()
    for name in names:
        with library.source(name) as source:
            rows.append(header(library, name, source) | {"sets": [_change(source, each) for each in set_names(source)]})
            evaluations[name] = {each.set_name: each for each in source.evaluations}  # the newest of each
            sets |= set(set_names(source))
            for each in settings(source.config):
                values.setdefault(each.key, {})[name] = each.value
    differing = {
        key: {name: of.get(name) for name in names}
        for key, of in values.items()
        if len({repr(of.get(name)) for name in names}) > 1 and key not in ("run.name", "run.dir")
    }
    return {
        "runs": rows,
        "available": library.names(),
        "settings": [{"key": key, "values": of} for key, of in differing.items()],
        "paired": [_pair(names[0], other, each, evaluations) for other in names[1:] for each in sorted(sets)
                   if each in evaluations[names[0]] and each in evaluations[other]],
        "charts": [{"key": "evaluation", "set": each} for each in sorted(sets)]
        + [{"key": key, "set": ""} for key in catalogue.COMPARED],
    }  # fmt: skip


def _pair(one: str, other: str, name: str, evaluations: Mapping[str, Mapping[str, Evaluation]]) -> dict[str, Any]:
    """How much better `other` is than `one` on a set, problem by problem: the newest evaluation of each."""
    first, second = evaluations[one][name], evaluations[other][name]
    found: dict[str, Any] = {"set": name, "one": one, "other": other, "n": len(second.outcomes)}
    found |= {"steps": [first.step, second.step]}
    if len(first.outcomes) != len(second.outcomes):
        return found | {"reason": f"{len(first.outcomes)} and {len(second.outcomes)} problems: not the same set"}
    for turn, figure in enumerate(_TURNS):
        if figure in first.metrics and figure in second.metrics:
            mean, low, high = paired_change(first.outcomes, second.outcomes, turn)
            found[("first_try", "second_look")[turn]] = {"mean": mean, "low": low, "high": high}
    return found
