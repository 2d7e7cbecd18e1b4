"""Tables for the README and docs/controls.md out of finished runs: `python scripts/report.py runs/a runs/b ...`

Reads each run's summary.json and prints Markdown: accuracy before and after on every held-out set, what the curriculum
did, and, of runs whose names differ in "-seed" and a number only, means over seeds.
"""

import json
import re
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

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


def main(folders: Annotated[list[Path], typer.Argument(help="folders of finished runs")]) -> None:
    """Print Markdown tables of finished runs: accuracy before and after, the curriculum, means over seeds."""
    paths = [folder / "summary.json" for folder in folders]
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
    arms = _arms(summaries)
    if len(arms) < len(summaries):
        print("\n| better turn at the end, mean over seeds (lowest to highest) | seeds | " + " | ".join(sets) + " |")
        print("|---" * (len(sets) + 2) + "|")
        for arm, seeds in arms.items():
            print(f"| {arm} | {len(seeds)} | " + " | ".join(_over_seeds(seeds, name) for name in sets) + " |")


def _arms(summaries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs of one name but for the seed, in order."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        arms.setdefault(re.sub(r"-seed\d+$", "", summary["run"]), []).append(summary)
    return arms


def _change(summary: dict[str, Any], name: str) -> str:
    before, after = summary["evaluation"]["before"][name], summary["evaluation"]["after"][name]
    cells = [f"{before[k]:.2f} → {after[k]:.2f}" for k in ("acc_t1", "acc_t2") if k in before and k in after]
    return ", ".join(cells)


def _over_seeds(summaries: list[dict[str, Any]], name: str) -> str:
    """The better of both turns at the end, seed by seed."""
    ends = [summary["evaluation"]["after"][name] for summary in summaries]
    better = [max(end[turn] for turn in ("acc_t1", "acc_t2") if turn in end) for end in ends]
    return f"{mean(better):.2f} ({min(better):.2f} to {max(better):.2f})"


def _curriculum(summary: dict[str, Any]) -> str:
    add2 = summary["evaluation"]["after"].get("add2", {})
    name, (change, low, high) = min(
        ((name, changes["acc_t1"]) for name, changes in summary["change"].items()), key=lambda item: item[1][0]
    )
    challenger = summary["challenger"]
    signal, mixed = (" ".join(f"{x:.2f}" for x in summary[f"{name}_share_thirds"]) for name in ("signal", "mixed"))
    cells = (
        summary["run"],
        f"{add2.get('i2c', 0):.2f} / {add2.get('c2i', 0):.2f} / {add2.get('change_rate', 0):.2f}",
        f"{name} {change:+.2f} [{low:+.2f}, {high:+.2f}]",
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
    typer.run(main)
