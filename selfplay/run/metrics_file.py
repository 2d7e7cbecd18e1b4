"""metrics.jsonl: one line per step and per evaluation, rebuilt from the store on resume, appended to while a run goes.

The store is the truth; the file is for tools that read lines. docs/metrics.md says how to read each name.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from store.errors import translated
from store.records import Evaluation, StepRow
from store.store import Store

_BLOCK = 1 << 20  # bytes read at once
_COMPARED = 1000  # steps whose lines are compared: of older ones only their number, or a start would read all of them


def lines(steps: Iterable[StepRow], evaluations: Iterable[Evaluation]) -> Iterator[str]:
    """The whole file: steps in order, each followed by its evaluations."""
    by_step: dict[int, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_step.setdefault(evaluation.step, []).append(evaluation)
    for row in steps:
        if row.step > 0:
            yield step_line(row)
        for evaluation in by_step.get(row.step, ()):
            yield evaluation_line(evaluation)


def is_whole(path: Path, store: Store) -> bool:
    """Whether the file has as many lines as the store has rows, and ends with the lines of the newest ones."""
    head, evaluations = store.head().step, store.evaluations()
    older = max(-1, head - _COMPARED)
    newest = [each for each in evaluations if each.step > older]
    ending = "".join(lines(store.steps(after=older), newest)).encode()
    try:
        if not path.is_file() or path.is_symlink():
            return False
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(ending)))
            if file.read() != ending:
                return False
            file.seek(0)
            num_lines = sum(block.count(b"\n") for block in iter(partial(file.read, _BLOCK), b""))
    except OSError:
        return False  # it is written anew, which says what is wrong
    return num_lines == head + len(evaluations)


def step_line(row: StepRow) -> str:
    """{"step": n, "time": "2026-01-31T12:00:00+00:00", "seconds": s, "loss/policy": ..., ...}"""
    head = {"step": row.step, "time": row.committed_at, "seconds": round(row.seconds, 3)}
    return json.dumps({**head, **row.metrics}) + "\n"


def evaluation_line(evaluation: Evaluation) -> str:
    """{"step": n, "time": "2026-01-31T12:00:00+00:00", "kind": "full", "eval/add2/acc_t1": ..., ...}"""
    named = {f"eval/{evaluation.set_name}/{name}": value for name, value in evaluation.metrics.items()}
    head = {"step": evaluation.step, "time": evaluation.committed_at, "kind": evaluation.kind}
    return json.dumps({**head, **named}) + "\n"


def append(path: Path, line: str) -> None:
    """Add one line. Not synced: what a crash loses here is rebuilt."""
    with translated(path), path.open("a") as file:
        file.write(line)
