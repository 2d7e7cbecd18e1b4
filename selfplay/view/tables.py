"""Rows of the tables that `inspect` prints, where they are not what selfplay/view/queries.py has found as it stands."""

from collections import Counter
from collections.abc import Sequence
from typing import Any


def process_row(row: dict[str, Any]) -> dict[str, Any]:
    """Its digests cut to what tells two of them apart: --json has them whole."""
    shown = {key: row[key] for key in ("started_at", "head_step", "note", "fingerprint")}
    return shown | {"seconds": round(row["seconds"], 1), "code": row["code_digest"][:12]}


def evaluation_row(row: dict[str, Any]) -> dict[str, Any]:
    def interval(name: str) -> str | None:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return None if row[name] is None else f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"

    shown = {"set": row["set"], "step": row["step"], "at first": row["first_acc_t1"]}
    shown |= {"first try": interval("acc_t1"), "second look": interval("acc_t2")}
    passed = {} if row["pass_k"] is None else {f"pass@{row['pass_k']}": row["pass_at_k"]}
    return shown | {"fixed": row["i2c"], "broken": row["c2i"]} | passed


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
