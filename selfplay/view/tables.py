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
    """One row for each turn and report; attempts of a step that went alike in everything share theirs.

    What a reward is the sum of, graded scores and errors have columns where there are any.
    """
    counts: Counter[tuple[Any, ...]] = Counter()
    for attempt in attempts:
        said = [_turn_cells(turn) for turn in attempt["turns"]]
        if attempt["report"] is not None:
            said.append((attempt["report"].strip(), attempt["confidence"], "report", *[None] * (len(_TURN) - 3)))
        counts[(attempt["step"], attempt.get("help"), *said)] += 1
    rows = [
        ({"step": step, "help": help, "times": times} if turn == 0 else dict.fromkeys(("step", "help", "times")))
        | {"turn": turn}
        | dict(zip(_TURN, values, strict=True))
        for (step, help, *turns), times in counts.items()
        for turn, values in enumerate(turns)
    ]
    empty = {name for name in _WHERE_ANY if all(row[name] is None for row in rows)}
    return [{name: cell for name, cell in row.items() if name not in empty} for row in rows]


_TURN = ("said", "answer", "verdict", "reward", "parts", "score", "error", "tokens")
_WHERE_ANY = ("help", "parts", "score", "error")


def _turn_cells(turn: dict[str, Any]) -> tuple[Any, ...]:
    parts = (
        ", ".join(f"{name} {share:+.2f}" for name, share in turn["parts"].items()) if len(turn["parts"]) > 1 else None
    )
    score = None if turn["score"] in (0.0, 1.0) else turn["score"]
    said = (turn["text"].strip(), turn["answer"], turn["outcome"], turn["reward"])
    return (*said, parts, score, turn["error"] or None, turn["num_tokens"])
