"""Rows of the tables that `inspect` prints, where these are not rows of selfplay/view/queries.py as they stand."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from selfplay import metrics


def process_row(row: dict[str, Any]) -> dict[str, Any]:
    """The digest of its code is cut to what tells two of them apart: --json has it whole."""
    return {
        "started (UTC)": minute(row["started_at"]),
        "at step": row["head_step"],
        "seconds": round(row["seconds"], 1),
        "note": row["note"],
        "machine": row["fingerprint"],
        "code": row["code_digest"][:12],
    }


def minute(time: str) -> str:
    """2026-01-31T12:00:05+00:00 -> 2026-01-31 12:00."""
    return time[:16].replace("T", " ")


def evaluation_row(row: dict[str, Any]) -> dict[str, Any]:
    """The newest evaluation of a set, with its intervals."""

    def interval(name: str) -> str | None:
        ends = (metrics.shown(row, end) for end in (metrics.low(name), metrics.high(name)))
        return None if row[name] is None else f"{metrics.shown(row, name)} [{', '.join(ends)}]"

    cells = {"set": row["set"], "step": row["step"], "at first": row["first_acc_t1"]}
    cells |= {"first try": interval(metrics.ACC_T1), "second look": interval(metrics.ACC_T2)}
    passed = {} if row["pass_k"] is None else {f"pass@{row['pass_k']}": row["pass_at_k"]}
    return cells | {"fixed": row[metrics.I2C], "broken": row[metrics.C2I]} | passed


def attempt_rows(attempts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each turn and report; attempts of a step that went alike in everything share theirs."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for attempt in attempts:
        said = [(t["text"].strip(), t["answer"], t["outcome"], t["reward"], t["num_tokens"]) for t in attempt["turns"]]
        if attempt["report"] is not None:
            said.append((attempt["report"].strip(), attempt["confidence"], "report", None, None))
        counts[(attempt["step"], *said)] += 1
    names = ("said", "answer", "verdict", "reward", "tokens")
    return [
        ({"step": step, "times": times} if turn == 0 else {"step": None, "times": None})
        | {"turn": turn}
        | dict(zip(names, values, strict=True))
        for (step, *turns), times in counts.items()
        for turn, values in enumerate(turns)
    ]
