"""What there is to see of a run, read from its store alone: plain dictionaries for people and for --json.

Read-only and free of torch, so that looking is quick and cannot hurt a run that is at work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from curriculum.difficulty import Tracker
from curriculum.lineage import Lineage
from curriculum.settings import CurriculumSettings
from store.records import Evaluation, Fate, Problem
from store.store import Store

DATABASE = "selfplay.db"
STEP_COLUMNS = (
    "solver/pass_rate", "curriculum/signal_share", "curriculum/mixed_share", "solver/fixed_share",
    "solver/broken_share", "challenger/valid_new", "challenger/proposals", "challenger/reward", "curriculum/level_mean",
    "loss/policy", "grad_norm", "tokens/computed", "tokens/flat",
)  # fmt: skip


class NotFound(Exception):
    """No such run or problem: one line."""


@dataclass(frozen=True, slots=True)
class ProblemFilter:
    """Which problems to list, and in which order; None does not filter."""

    state: str | None = None
    family: str | None = None
    origin: str | None = None
    sort: str = "difficulty"  # difficulty, attempts, step or level
    limit: int = 50


def run_folder(name: str, directory: Path) -> Path:
    """A run by its folder, or by its name in `directory`."""
    for folder in (Path(name), directory / name):
        if (folder / DATABASE).is_file():
            return folder
    raise NotFound(f"there is no run {name}: neither a run folder nor a name in {directory}/")


def tracker_of(store: Store) -> Tracker:
    """The run's curriculum, folded over its stored steps with the run's own settings."""
    stored = OmegaConf.to_container(OmegaConf.create(store.run().config_yaml))
    given = stored.get("curriculum", {}) if isinstance(stored, dict) else {}
    known = {field.name for field in fields(CurriculumSettings)}
    tracker = Tracker(CurriculumSettings(**{k: v for k, v in given.items() if k in known}))
    for step in store.history():
        tracker.observe(step)
    return tracker


def runs(directory: Path) -> list[dict[str, Any]]:
    """Every run in `directory`: name, step, last line of what its evaluations said."""
    found = []
    for database in sorted(directory.glob(f"*/{DATABASE}")):
        with Store.open_readonly(database) as store:
            steps, evaluations = store.steps(), store.evaluations()
        last = max((e.step for e in evaluations), default=0)
        found.append(
            {
                "name": database.parent.name,
                "step": steps[-1].step,
                "seconds": round(sum(step.seconds for step in steps), 1),
                "evaluated_at": last,
                "acc_t1": {e.set_name: round(e.metrics["acc_t1"], 3) for e in evaluations if e.step == last},
            }
        )
    return found


def status(store: Store) -> dict[str, Any]:
    """Where a run stands."""
    tracker, steps, evaluations = tracker_of(store), store.steps(), store.evaluations()
    recent = [step.metrics for step in steps[-10:] if step.step > 0]
    return {
        "name": store.run().name,
        "seed": store.run().seed,
        "step": store.head().step,
        "abandoned_steps": len(store.steps(include_abandoned=True)) - len(steps),
        "frontier": tracker.frontier(),
        "problems": tracker.num_problems(),
        "states": {state.value: count for state, count in tracker.state_counts().items()},
        "families": [_rounded(asdict(family)) for family in tracker.families()],
        "recent": {
            name: round(sum(m.get(name, 0.0) for m in recent) / len(recent), 3) if recent else None
            for name in ("curriculum/signal_share", "solver/pass_rate", "solver/fixed_share", "solver/broken_share")
        },
        "evaluations": _newest(evaluations),
        "checkpoints": [row.step for row in store.checkpoints()],
        "incarnations": [asdict(each) for each in store.incarnations()],
    }


def problems(store: Store, wanted: ProblemFilter) -> list[dict[str, Any]]:
    """Problems with their state and posterior pass rate, filtered and sorted."""
    tracker = tracker_of(store)
    rows = [problem_row(tracker, problem, step) for problem, step in store.problems()]
    for name in ("state", "family", "origin"):
        value = getattr(wanted, name)
        if value is not None:
            rows = [row for row in rows if str(row[name]).lower() == value.lower()]
    keys: Mapping[str, Any] = {
        "difficulty": lambda row: (row["pass_rate"], row["problem_id"]),
        "attempts": lambda row: (-row["attempts"], row["problem_id"]),
        "step": lambda row: (-row["admitted_step"], row["problem_id"]),
        "level": lambda row: (-row["level"], row["problem_id"]),
    }
    if wanted.sort not in keys:
        raise NotFound(f"--sort {wanted.sort}: choose one of {', '.join(keys)}")
    return sorted(rows, key=keys[wanted.sort])[: wanted.limit]


def problem_row(tracker: Tracker, problem: Problem, admitted_step: int) -> dict[str, Any]:
    """One problem as the curriculum sees it."""
    attempts, successes = tracker.totals(problem.problem_id)
    return {
        "problem_id": problem.problem_id,
        "text": problem.text,
        "answer": problem.answer,
        "family": problem.family,
        "level": problem.level,
        "origin": problem.origin.value,
        "state": tracker.state(problem.problem_id).value,
        "pass_rate": round(tracker.rate(problem.problem_id), 3),
        "attempts": attempts,
        "successes": successes,
        "admitted_step": admitted_step,
        "last_step": tracker.last_step(problem.problem_id),
    }


def show(store: Store, prefix: str) -> dict[str, Any]:
    """One problem whole: lineage, every attempt with its turns and verdicts."""
    problem, admitted = store.problem(prefix)
    lineage = Lineage([each for each, _ in store.problems()])
    texts = {each.problem_id: each.text for each, _ in store.problems()}
    return {
        "problem": problem_row(tracker_of(store), problem, admitted),
        "ancestors": [texts[i] for i in lineage.ancestors(problem.problem_id)],
        "children": [texts[i] for i in lineage.children(problem.problem_id)],
        "attempts": [{"step": step, **asdict(attempt)} for step, attempt in store.attempts(problem.problem_id)],
    }


def proposals(store: Store, step: int | None, fate: str | None, limit: int) -> dict[str, Any]:
    """What the challenger said, and how often each fate was met."""
    chosen = None
    if fate is not None:
        try:
            chosen = Fate(fate.upper())
        except ValueError:
            raise NotFound(f"--fate {fate}: choose one of {', '.join(f.value for f in Fate)}") from None
    counts: dict[str, int] = {}
    for _, proposal in store.proposals(step=step):
        counts[proposal.fate.value] = counts.get(proposal.fate.value, 0) + 1
    rows = store.proposals(step=step, fate=chosen, limit=limit)
    return {"fates": counts, "proposals": [{"step": at, **asdict(proposal)} for at, proposal in rows]}


def steps(store: Store) -> list[dict[str, Any]]:
    """One row a step: its key figures."""
    return [
        {"step": row.step, "seconds": round(row.seconds, 2), "status": row.status.value}
        | {name: round(row.metrics[name], 4) for name in STEP_COLUMNS if name in row.metrics}
        for row in store.steps(include_abandoned=True)
        if row.step > 0
    ]


def digests(store: Store, with_tables: bool) -> dict[str, Any]:
    """The weights' digest after every step (xxh3), and of all tables if asked."""
    found: dict[str, Any] = {"weights": {row.step: row.weights_digest for row in store.steps()}}
    if with_tables:
        found["tables"] = store.table_digest()
    return found


def _newest(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Any]]:
    """Of every set the newest evaluation, and the first to compare with."""
    found: dict[str, dict[str, Any]] = {}
    for evaluation in evaluations:
        row = found.setdefault(evaluation.set_name, {"first": round(evaluation.metrics["acc_t1"], 3)})
        row |= {"step": evaluation.step, "kind": evaluation.kind}
        row |= {k: round(v, 3) for k, v in evaluation.metrics.items() if k in ("acc_t1", "acc_t2", "i2c", "c2i")}
    return found


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
