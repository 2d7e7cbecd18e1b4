"""Tables for the README and docs/controls.md out of finished runs: `python scripts/report.py runs/a runs/b ...`

Reads each run's summary.json and prints Markdown: accuracy before and after on every held-out set, and what the
curriculum did. Nothing is computed here that summary.json does not hold.
"""

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "run",
    "add2 fixed / broken / changed",
    "worst change of a first try [95%]",
    "signal by thirds",
    "of first tries alone",
    "valid and new, first to last third",
    "challenger's share of trained, last third",
    "steps",
    "seconds",
    "memory",
)


def main(folders: list[str]) -> None:
    paths = [Path(folder) / "summary.json" for folder in folders]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise SystemExit(f"{missing[0]} is not there: a run writes it when it ends")
    summaries = [json.loads(path.read_text()) for path in paths]
    sets = list(summaries[0]["evaluation"]["before"])
    print("| run | " + " | ".join(f"{name}: first try, second look" for name in sets) + " |")
    print("|---" * (len(sets) + 1) + "|")
    for summary in summaries:
        print(f"| {summary['run']} | " + " | ".join(_change(summary, name) for name in sets) + " |")
    print()
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for summary in summaries:
        print(_curriculum(summary))


def _change(summary: dict[str, Any], name: str) -> str:
    before, after = summary["evaluation"]["before"][name], summary["evaluation"]["after"][name]
    cells = [f"{before[k]:.2f} → {after[k]:.2f}" for k in ("acc_t1", "acc_t2") if k in before and k in after]
    return ", ".join(cells)


def _curriculum(summary: dict[str, Any]) -> str:
    add2 = summary["evaluation"]["after"].get("add2", {})
    name, (mean, low, high) = min(
        ((name, change["acc_t1"]) for name, change in summary["change"].items()), key=lambda item: item[1][0]
    )
    challenger = summary["challenger"]
    signal, mixed = (" ".join(f"{x:.2f}" for x in summary[f"{name}_share_thirds"]) for name in ("signal", "mixed"))
    cells = (
        summary["run"],
        f"{add2.get('i2c', 0):.2f} / {add2.get('c2i', 0):.2f} / {add2.get('change_rate', 0):.2f}",
        f"{name} {mean:+.2f} [{low:+.2f}, {high:+.2f}]",
        signal,
        mixed,
        f"{challenger['valid_new_share_first_third']:.2f} → {challenger['valid_new_share_last_third']:.2f}",
        f"{challenger['trained_share_last_third']:.2f}",
        str(summary["steps"]),
        f"{summary['seconds']:.0f}",
        f"{summary['peak_memory_bytes'] / 1e9:.1f} GB",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
