"""Per-problem outcomes as a table in a file: one row for each model and problem, JSONL or Parquet."""

import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfplay.machine.errors import DISK, USAGE, Refused
from selfplay.machine.files import write_whole
from selfplay.suite.records import ModelReport, ProblemOutcome, Report

JSONL, PARQUET = ".jsonl", ".parquet"


def check_path(path: Path) -> None:
    """Refused where nothing could be written there: asked before a model is loaded."""
    if path.suffix not in (JSONL, PARQUET):
        raise Refused(f"--out {path}: give a file that ends in {JSONL} or {PARQUET}", USAGE)
    if path.suffix == PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise Refused(f"--out {path}: Parquet needs pyarrow: `uv pip install pyarrow`, or give a {JSONL} file", USAGE)
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise Refused(f"--out {path}: its folder is not there, or it is a folder itself", USAGE)


def write(report: Report, path: Path) -> None:
    """All rows of `report`, whole or not at all."""
    try:
        if path.suffix == JSONL:
            return write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(report)))
        import pyarrow
        from pyarrow import parquet

        return parquet.write_table(pyarrow.Table.from_pylist(list(rows(report))), path)
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror or error}): choose another place", DISK) from None


def rows(report: Report) -> Iterator[dict[str, Any]]:
    """Plain values only. `search_tokens` and `best_of_tokens` are null where no right answer was found."""
    for model, other in ((report.model, report.against), (report.against, None)):
        if model is not None:
            yield from _of_model(model, "" if other is None else other.named)


def _of_model(model: ModelReport, against: str) -> Iterator[dict[str, Any]]:
    for each in model.sets:
        for problem in each.problems:
            yield {"model": model.model, "step": model.step, "set": each.set_name} | _row(problem, against)


def _row(problem: ProblemOutcome, against: str) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(problem, name) for name in ("problem_id", "text", "family", "level", "answer")}
    row["turns"] = [{"text": turn.text, "answer": turn.answer, "outcome": turn.outcome.value} for turn in problem.turns]
    if problem.sampled:
        row |= {"num_samples": len(problem.sampled), "num_right": problem.num_right, "vote": problem.vote}
        row["sampled"] = [{"answer": turn.answer, "outcome": turn.outcome.value} for turn in problem.sampled]
        row |= {"sampled_tokens": problem.num_tokens, "sampled_nats": problem.nats}
        if problem.nats_against is not None:
            row |= {"sampled_nats_against": problem.nats_against, "against": against}
    if problem.search_tokens is not None:
        row["search_tokens"] = _finite(problem.search_tokens)
        row["best_of_tokens"] = _finite(problem.best_of_tokens)
    return row


def _finite(tokens: float | None) -> int | None:
    return None if tokens is None or math.isinf(tokens) else int(tokens)
