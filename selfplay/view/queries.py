"""Answers to questions about a run, read from its store alone: plain dictionaries for people and for --json.

They read only and need no torch, so that they are quick and cannot hurt a run that is at work. The curriculum is folded
once for each answer, so that all figures of an answer are of one moment. Left out: how an answer is printed
(selfplay/view/commands.py) and pictures (selfplay/view/picture.py).
"""

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.families import FamilySummary
from curriculum.tracking.folding import fold
from curriculum.tracking.forecasts import Rule, scored, scores
from curriculum.tracking.lineage import Lineage
from selfplay import metrics
from selfplay.config.stored import config_of
from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.exits import line_of
from selfplay.machine.run_folder import DATABASE, last_worked
from store.errors import NoSuchProblem, StoreError
from store.records import Evaluation, Fate, Origin, Problem, ProblemState
from store.store import Store

RECENT_STEPS = 10
RECENT = (metrics.SIGNAL_SHARE, metrics.PASS_RATE, metrics.FIXED_SHARE, metrics.BROKEN_SHARE)
STEP_FIGURES = (
    metrics.PASS_RATE,
    metrics.FIXED_SHARE,
    metrics.BROKEN_SHARE,
    metrics.SIGNAL_SHARE,
    metrics.MIXED_SHARE,
    metrics.LEVEL_MEAN,
    metrics.NEW_PROBLEMS,
    metrics.VALID_NEW,
    metrics.PROPOSALS,
    metrics.CHALLENGER_REWARD,
    metrics.REWARD_MEAN,
    metrics.LOSS,
    metrics.GRAD_NORM,
    metrics.ENTROPY,
    metrics.TOKENS_COMPUTED,
    metrics.TOKENS_FLAT,
)
EVALUATION_FIGURES = (
    metrics.N,
    metrics.ACC_T1,
    metrics.low(metrics.ACC_T1),
    metrics.high(metrics.ACC_T1),
    metrics.ACC_T2,
    metrics.low(metrics.ACC_T2),
    metrics.high(metrics.ACC_T2),
    metrics.I2C,
    metrics.C2I,
    metrics.CHANGE_RATE,
    metrics.PARSED,
)
PASS_AT = re.compile(metrics.PASS_AT_K.format(k=r"(\d+)"))


class NotFound(Refused):
    """No such run or problem: one line, and the exit code of a wrong argument."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


class Sort(StrEnum):
    """Orders of problems, each with the one first that a reader looks for."""

    DIFFICULTY = "difficulty"  # hardest first
    ATTEMPTS = "attempts"  # most tried first
    STEP = "step"  # newest first
    LEVEL = "level"  # highest first
    STATE = "state"  # in the order of a problem's life; within one state, family or origin the hardest first
    FAMILY = "family"  # by name
    ORIGIN = "origin"  # seeds first


@dataclass(frozen=True, slots=True)
class ProblemFilter:
    """Which problems to list, and in which order; None, and rates from 0 to 1, do not filter. Raises Refused."""

    state: ProblemState | None = None
    family: str | None = None
    origin: Origin | None = None
    min_rate: float = 0.0  # of the pass rate that the curriculum foretells
    max_rate: float = 1.0
    sort: Sort = Sort.DIFFICULTY
    limit: int = 50

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_rate <= self.max_rate <= 1.0:  # NaN is refused too
            raise Refused(
                f"--min-rate {self.min_rate:g} and --max-rate {self.max_rate:g}: pass rates are from 0 to 1, "
                "the lower one first",
                USAGE,
            )


def run_folder(name: str, directory: Path) -> Path:
    """A run by its folder, or by its name in `directory`."""
    for folder in (Path(name), directory / name):
        if (folder / DATABASE).is_file():
            return folder
    raise NotFound(f"there is no run {name!r}: neither a run's folder nor a name in {directory}/")


def settings_of(store: Store) -> CurriculumSettings:
    """The run's own curriculum settings. A key of another version of the code is passed over."""
    config, known = config_of(store), {field.name for field in fields(CurriculumSettings)}
    given = {key: value for key, value in (config.get("curriculum") or {}).items() if key in known}
    size = (config.get("solver") or {}).get("group_size")
    return CurriculumSettings(**(given if size is None else given | {"group_size": size}))


def tracker_of(store: Store) -> Tracker:
    """The run's curriculum, from its newest snapshot and the steps after it."""
    tracker = Tracker(settings_of(store))
    fold(store, tracker)
    return tracker


def runs(directory: Path) -> list[dict[str, Any]]:
    """Every run in `directory`, by name. One that cannot be read has its reason in `error`, and hides no other."""
    found = []
    for database in sorted(directory.glob(f"*/{DATABASE}")):
        row: dict[str, Any] = {"name": database.parent.name, "last_activity": _last_activity(database.parent)}
        try:
            with Store.open_readonly(database) as store:
                row |= _run_row(store)
        except StoreError as error:
            row["error"] = line_of(error)
        found.append(row)
    return found


def _run_row(store: Store) -> dict[str, Any]:
    evaluations = store.evaluations()
    sets = _by_set(evaluations)
    return {
        "head_step": store.head().step,
        "steps": (config_of(store).get("run") or {}).get("steps"),
        "seconds": round(worked_seconds(store, evaluations), 1),
        "evaluated_at": max((rows[-1].step for rows in sets.values()), default=None),
        "evaluations": {
            name: {
                "first": round(rows[0].metrics[metrics.ACC_T1], 4),
                "newest": round(rows[-1].metrics[metrics.ACC_T1], 4),
            }
            for name, rows in sets.items()
        },
    }


def worked_seconds(store: Store, evaluations: Sequence[Evaluation]) -> float:
    """Wall time of every process that worked on the run, from its start to what it last stored."""
    worked = sum(each.seconds for each in store.incarnations())
    seen = store.step_seconds() + sum(each.metrics.get(metrics.EVALUATION_SECONDS, 0.0) for each in evaluations)
    return max(worked, seen)  # a run of before schema 0004 did not count its processes' time


def _last_activity(folder: Path) -> str:
    """When the run last stored something."""
    return datetime.fromtimestamp(last_worked(folder) / 1e9, UTC).isoformat(timespec="seconds")


def status(store: Store) -> dict[str, Any]:
    """Where a run stands."""
    tracker, run = tracker_of(store), store.run()
    recent = [(row.step, row.metrics) for row in store.steps(after=max(0, tracker.step - RECENT_STEPS))]
    families = sorted(tracker.families(), key=lambda family: (family.level, family.family))
    return {
        "name": run.name,
        "seed": run.seed,
        "head_step": tracker.step,
        "steps": (config_of(store).get("run") or {}).get("steps"),
        "abandoned_steps": store.num_steps() - 1 - tracker.step,
        "frontier": tracker.frontier(),
        "problems": tracker.num_problems(),
        "states": {state.value: count for state, count in tracker.state_counts().items()},
        "recent": [{"step": step} | {name: figures.get(name) for name in RECENT} for step, figures in recent],
        "evaluations": [_evaluation(name, rows) for name, rows in _by_set(store.evaluations()).items()],
        "families": [_family(tracker, family) for family in families],
        "checkpoints": [{"step": row.step, "path": row.path} for row in store.checkpoints()],
        "best_step": store.best_step(),
        "incarnations": [asdict(each) for each in store.incarnations()],
    }


def _family(tracker: Tracker, family: FamilySummary) -> dict[str, Any]:
    """`evidence`: sum of first tries, each weighted by how much it still counts. `tried`, `right`: plain counts."""
    totals = [tracker.totals(each) for each in tracker.family_members(family.family)]
    summary = asdict(family)
    weight = summary.pop("attempts")
    tried = {"tried": sum(n for n, _ in totals), "right": sum(k for _, k in totals)}
    return _rounded(summary | {"evidence": weight} | tried)


def _by_set(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Each set's evaluations, oldest first; of two at one step the full one is the later."""
    found: dict[str, list[Evaluation]] = {}
    for each in sorted(evaluations, key=lambda e: (e.set_name, e.step, e.kind == "full")):
        found.setdefault(each.set_name, []).append(each)
    return found


def _evaluation(name: str, rows: Sequence[Evaluation]) -> dict[str, Any]:
    """The newest evaluation of a set, and the accuracy of the first. Nothing of those in between is mixed in."""
    newest = rows[-1]
    head = {"set": name, "step": newest.step, "kind": newest.kind, "first_acc_t1": rows[0].metrics[metrics.ACC_T1]}
    measured = sorted(int(found[1]) for key in newest.metrics if (found := PASS_AT.fullmatch(key)))
    k = measured[-1] if measured else None
    passed = {"pass_k": k, "pass_at_k": newest.metrics.get(metrics.PASS_AT_K.format(k=k))}
    return _rounded(head | {key: newest.metrics.get(key) for key in EVALUATION_FIGURES} | passed)


def problems(store: Store, wanted: ProblemFilter) -> dict[str, Any]:
    """Problems with their state and foretold pass rate: how many match, and the first `limit` of them in order.

    Where none matches, the names of all families, which a filter may have misspelled.
    """
    tracker = tracker_of(store)
    ids = [problem_id for problem_id in tracker.problem_ids() if _matches(tracker, problem_id, wanted)]
    key = _order(tracker, wanted.sort)
    chosen = heapq.nsmallest(wanted.limit, ids, key=lambda problem_id: (*key(problem_id), problem_id))
    rows = [_problem_row(tracker, problem_id) for problem_id in chosen]
    families = {} if ids else {"families": sorted(family.family for family in tracker.families())}
    return {"matching": len(ids), "problems": rows} | families


def _order(tracker: Tracker, sort: Sort) -> Callable[[str], tuple[float | str, ...]]:
    """What problems are compared by, least first."""
    states, origins = list(ProblemState), list(Origin)
    order: dict[Sort, Callable[[str], tuple[float | str, ...]]] = {
        Sort.DIFFICULTY: lambda each: (tracker.rate(each),),
        Sort.ATTEMPTS: lambda each: (-tracker.totals(each)[0],),
        Sort.STEP: lambda each: (-tracker.admitted_step(each),),
        Sort.LEVEL: lambda each: (-tracker.problem(each).level,),
        Sort.STATE: lambda each: (states.index(tracker.state(each)), tracker.rate(each)),
        Sort.FAMILY: lambda each: (tracker.problem(each).family, tracker.rate(each)),
        Sort.ORIGIN: lambda each: (origins.index(tracker.problem(each).origin), tracker.rate(each)),
    }
    return order[sort]


def _matches(tracker: Tracker, problem_id: str, wanted: ProblemFilter) -> bool:
    problem = tracker.problem(problem_id)
    return (
        (wanted.state is None or tracker.state(problem_id) is wanted.state)
        and (wanted.family is None or problem.family == wanted.family)
        and (wanted.origin is None or problem.origin is wanted.origin)
        and wanted.min_rate <= tracker.rate(problem_id) <= wanted.max_rate
    )


def _problem_row(tracker: Tracker, problem_id: str) -> dict[str, Any]:
    """One problem as the curriculum sees it."""
    problem = tracker.problem(problem_id)
    attempts, successes = tracker.totals(problem_id)
    return {
        "problem_id": problem_id,
        "text": problem.text,
        "answer": problem.answer,
        "family": problem.family,
        "level": problem.level,
        "origin": problem.origin.value,
        "state": tracker.state(problem_id).value,
        "pass_rate": round(tracker.rate(problem_id), 4),
        "attempts": attempts,
        "successes": successes,
        "admitted_step": tracker.admitted_step(problem_id),
        "last_step": tracker.last_step(problem_id),
    }


def show(store: Store, prefix: str) -> dict[str, Any]:
    """One problem whole: its lineage, and every attempt with its turns, verdicts and rewards.

    `help`: what the attempt's prompt had, such as "hint 2 of 4"; None of a bare one.
    """
    problem_id = found_problem(store, prefix)
    tracker = tracker_of(store)
    lineage = Lineage(tracker.problem(each) for each in tracker.problem_ids())
    problem = tracker.problem(problem_id)
    helped = {
        step: f"{each.kind.value.lower()} {each.given} of {each.pieces}"
        for step, each in store.rescues()
        if each.problem_id == problem_id and each.given
    }
    return {
        "problem": _problem_row(tracker, problem_id)
        | {"canonical": problem.canonical, "answer_source": problem.answer_source, "domain": problem.domain},
        "ancestors": [_relative(tracker, each) for each in lineage.ancestors(problem_id)],
        "children": [_relative(tracker, each) for each in lineage.children(problem_id)],
        "descendants": len(lineage.descendants(problem_id)),
        "attempts": [
            {"step": step, "help": helped.get(step)} | asdict(attempt) for step, attempt in store.attempts(problem_id)
        ],
    }


def lineage(store: Store) -> Any:
    """The whole curriculum as a networkx graph, from parents to what they were made into.

    Attributes of a problem: text, family, level, origin, depth, state, pass_rate.
    """
    tracker = tracker_of(store)
    graph = Lineage(tracker.problem(each) for each in tracker.problem_ids()).graph()
    for problem_id, attributes in graph.nodes.items():
        attributes |= {"state": tracker.state(problem_id).value, "pass_rate": round(tracker.rate(problem_id), 4)}
    return graph


def tree(store: Store, prefix: str, step: int | None, only_attempts: bool = False) -> tuple[Any, int, list[int]]:
    """(tree of what was said of a problem in one step, that step, all steps that tried it).

    The newest step unless one is given. The tree that the judge searched, where it did and unless `only_attempts`.
    NotFound for a problem that no step, or not that one, has tried.
    """
    from selfplay.view.trees import attempt_tree, search_tree

    problem_id = found_problem(store, prefix)
    tried = store.attempts(problem_id)
    steps = sorted({at for at, _ in tried})
    if not steps or (step is not None and step not in steps):
        where = f"step {step}; there are attempts in steps {', '.join(map(str, steps))}" if steps else "any step yet"
        raise NotFound(f"problem {problem_id} was not tried in {where}")
    chosen = steps[-1] if step is None else step
    problem, _ = store.problem(problem_id)
    searched = {} if only_attempts else store.search_nodes(problem_id)
    if chosen in searched:
        return search_tree(problem, searched[chosen]), chosen, steps
    return attempt_tree(problem, [attempt for at, attempt in tried if at == chosen]), chosen, steps


def found_problem(store: Store, prefix: str) -> str:
    """The id of the problem that is named by its id or a unique beginning of it. Raises NotFound."""
    try:
        return store.problem(prefix)[0].problem_id
    except NoSuchProblem as error:
        raise NotFound(f"{error}; `problems RUN` lists them") from error


def _relative(tracker: Tracker, problem: Problem) -> dict[str, Any]:
    rate = round(tracker.rate(problem.problem_id), 4)
    return {"problem_id": problem.problem_id, "text": problem.text, "family": problem.family, "pass_rate": rate}


def proposals(store: Store, step: int | None, fate: Fate | None, limit: int) -> dict[str, Any]:
    """What the challenger proposed, newest last, and how many proposals met each fate."""
    fates = store.fate_counts(step)
    chosen = store.proposals(step, fate, limit)
    parents = {parent: store.problem(parent)[0].text for parent in {proposal.parent_id for _, proposal in chosen}}
    return {
        "total": sum(fates.values()),
        "fates": {each.value: count for each, count in fates.items()},
        "proposals": [{"step": at, "parent": parents[each.parent_id]} | asdict(each) for at, each in chosen],
    }


def steps(store: Store) -> list[dict[str, Any]]:
    """One row a step, abandoned ones too: its key figures, by the names of docs/metrics.md."""
    return [
        {"step": row.step, "status": row.status.value, "seconds": round(row.seconds, 2)}
        | {name: round(row.metrics[name], 4) for name in STEP_FIGURES if name in row.metrics}
        for row in store.steps(include_abandoned=True)
        if row.step > 0
    ]


def forecasts(store: Store, parts: int) -> list[dict[str, Any]]:
    """A row for each of `parts` of the run, for first groups and for later ones, and for who foretold them."""
    stored = {(step, row.problem_id): row for step, row in store.foretold()}
    groups = list(scored(store.history(), settings_of(store), stored))
    last = max((each.step for each in groups), default=0)
    rows = []
    for part in range(parts):
        first, until = last * part // parts + 1, last * (part + 1) // parts
        for is_first in (True, False):
            of_part = [each for each in groups if first <= each.step <= until and each.is_first is is_first]
            for by in get_args(Rule):
                found = scores(of_part, by)
                if found is not None:
                    told = {"steps": f"{first}-{until}", "groups of": "untried" if is_first else "tried", "by": by}
                    rows.append(told | {name: round(value, 4) for name, value in asdict(found).items()})
    return rows


def digests(store: Store, with_tables: bool) -> dict[str, Any]:
    """The weights' digest after every step (xxh3) as the run stored it, and one of all tables if asked."""
    weights = [{"step": row.step, "weights_digest": row.weights_digest} for row in store.steps()]
    if with_tables:
        store.require_whole()  # or it would be the digest of something that no run was
    return {"weights": weights} | ({"tables": store.table_digest()} if with_tables else {})


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
