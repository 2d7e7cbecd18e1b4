"""Tables for the README and docs/controls.md out of finished runs: `python scripts/report.py runs/a runs/b ...`

Reads each run's summary.json and prints Markdown: accuracy before and after on every held-out set, what the curriculum
did, and, of runs whose names differ in "-seed" and a number only, means over seeds, with Student's interval. Runs may
be of different domains: a set that a run was not evaluated on is a dash.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from selfplay.metrics import ACC_T1, ACC_T2, C2I, CHANGE_RATE, I2C, NOTHING, shown
from selfplay.stats.intervals import t95

Arms = dict[str, list[dict[str, Any]]]  # runs of one name but for the seed

TURNS = (ACC_T1, ACC_T2)
COLUMNS = (
    "run",
    "most gained at the first try: fixed / broken / changed",
    "worst change of a first try [95%]",
    "of all first tries [95%]",
    "signal by thirds",
    "of first tries alone",
    "valid and new, first to last third",
    "challenger's share of trained, last third",
    "frontier at the end of each third",
    "steps",
    "seconds",
    "memory",
)
ENDS = ("first", "last")
ARM_COLUMNS = (
    "change of all first tries [95%]",
    "signal by thirds",
    "of first tries alone",
    "valid and new, first to last third",
    "frontier at the end of each third",
)


def main(folders: Annotated[list[Path], typer.Argument(help="folders of finished runs")]) -> None:
    """Print Markdown tables of finished runs: accuracy before and after, the curriculum, means over seeds."""
    paths = [folder / "summary.json" for folder in folders]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise SystemExit(f"{missing[0]} is not there: a run writes it when it ends")
    summaries = [json.loads(path.read_text()) for path in paths]
    sets = list(dict.fromkeys(name for summary in summaries for name in _sets(summary)))
    print("| run | " + " | ".join(f"{name}: first try, second look" for name in sets) + " |")
    print("|---" * (len(sets) + 1) + "|")
    for summary in summaries:
        print(f"| {summary['run']} | " + " | ".join(_change(summary, name) for name in sets) + " |")
    print()
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for summary in summaries:
        print(_curriculum(summary))
    falls = {name: fall for summary in summaries for name, fall in summary.get("smallest_fall", {}).items()}
    if falls:
        print("\nThe least fall that a set can show (exact test of McNemar at 5%, none gained): ", end="")
        print(", ".join(f"{name} {fall:.2f}" for name, fall in falls.items()))
    arms = _arms(summaries)
    if len(arms) < len(summaries):
        _print_arms("better turn at the end, mean over seeds (lowest to highest)", arms, sets, _over_seeds)
        _print_arms("change of the first try, mean over seeds [95%]", arms, sets, _mean_change)
        _print_curriculum_of(arms)


def _print_arms(title: str, arms: Arms, sets: list[str], cell: Callable[[list[dict[str, Any]], str], str]) -> None:
    print(f"\n| {title} | seeds | " + " | ".join(sets) + " |")
    print("|---" * (len(sets) + 2) + "|")
    for arm, seeds in arms.items():
        print(f"| {arm} | {len(seeds)} | " + " | ".join(cell(seeds, name) for name in sets) + " |")


def _print_curriculum_of(arms: Arms) -> None:
    print(f"\n| means over seeds | seeds | {' | '.join(ARM_COLUMNS)} |")
    print("|---" * (len(ARM_COLUMNS) + 2) + "|")
    for arm, seeds in arms.items():
        every = [found[ACC_T1][0] for each in seeds if (found := each.get("change_of_all"))]
        shares = [_means([each[f"{name}_share_thirds"] for each in seeds]) for name in ("signal", "mixed")]
        valid = _means([[each["challenger"][f"valid_new_share_{end}_third"] for end in ENDS] for each in seeds])
        frontier = [each["frontier_thirds"] for each in seeds if each.get("frontier_thirds")]
        reached = " ".join(_span(levels) for levels in zip(*frontier, strict=True)) or NOTHING
        cells = (_interval(every), *(" ".join(share) for share in shares), " → ".join(valid), reached)
        print(f"| {arm} | {len(seeds)} | {' | '.join(cells)} |")


def _means(rows: list[list[float]]) -> list[str]:
    return [f"{mean(values):.2f}" for values in zip(*rows, strict=True)]


def _span(levels: tuple[int, ...]) -> str:
    """The level of all seeds, or the lowest and the highest."""
    return str(min(levels)) if min(levels) == max(levels) else f"{min(levels)}-{max(levels)}"


def _arms(summaries: list[dict[str, Any]]) -> Arms:
    """Runs of one name but for the seed, in order."""
    arms: Arms = {}
    for summary in summaries:
        arms.setdefault(re.sub(r"-seed\d+$", "", summary["run"]), []).append(summary)
    return arms


def _sets(summary: dict[str, Any]) -> list[str]:
    """The held-out sets of a run; a run that was stopped has none at the end."""
    evaluation = summary["evaluation"]
    return list(dict.fromkeys([*evaluation["before"], *evaluation["after"]]))


def _change(summary: dict[str, Any], name: str) -> str:
    before, after = (summary["evaluation"][end].get(name, {}) for end in ("before", "after"))
    cells = [f"{shown(before, k)} → {shown(after, k)}" for k in TURNS if k in before and k in after]
    return ", ".join(cells) or NOTHING


def _over_seeds(summaries: list[dict[str, Any]], name: str) -> str:
    """The better of both turns at the end, seed by seed."""
    ends = [summary["evaluation"]["after"].get(name, {}) for summary in summaries]
    better = [max(end[turn] for turn in TURNS if turn in end) for end in ends if not end.keys().isdisjoint(TURNS)]
    return f"{mean(better):.2f} ({min(better):.2f} to {max(better):.2f})" if better else NOTHING


def _mean_change(summaries: list[dict[str, Any]], name: str) -> str:
    return _interval([summary["change"][name][ACC_T1][0] for summary in summaries if name in summary["change"]])


def _interval(changes: list[float]) -> str:
    """mean +- t s / sqrt(S) over the S seeds' own changes; the mean alone where there is one seed."""
    if len(changes) < 2:
        return f"{changes[0]:+.2f}" if changes else NOTHING
    half = float(t95(len(changes) - 1)) * stdev(changes) / len(changes) ** 0.5
    return f"{mean(changes):+.2f} [{mean(changes) - half:+.2f}, {mean(changes) + half:+.2f}]"


def _curriculum(summary: dict[str, Any]) -> str:
    changes = {name: found[ACC_T1] for name, found in summary["change"].items()}
    challenger = summary["challenger"]
    signal, mixed = (" ".join(f"{x:.2f}" for x in summary[f"{name}_share_thirds"]) for name in ("signal", "mixed"))
    cells = (
        summary["run"],
        _second_looks(summary, max(changes, key=lambda name: changes[name][0], default=None)),
        _first_tries(changes, min(changes, key=lambda name: changes[name][0], default=None)),
        _first_tries({"all": summary.get("change_of_all", {}).get(ACC_T1)}, "all"),
        signal,
        mixed,
        f"{challenger['valid_new_share_first_third']:.2f} → {challenger['valid_new_share_last_third']:.2f}",
        f"{challenger['trained_share_last_third']:.2f}",
        " ".join(str(level) for level in summary.get("frontier_thirds", ())) or NOTHING,
        str(summary["steps"]),
        f"{summary['seconds']:.0f}",
        f"{summary['peak_memory_bytes'] / 1e9:.1f} GB",
    )
    return "| " + " | ".join(cells) + " |"


def _second_looks(summary: dict[str, Any], name: str | None) -> str:
    """What second looks did to a set's answers at the end."""
    after = summary["evaluation"]["after"].get(name, {})
    shares = [shown(after, key) for key in (I2C, C2I, CHANGE_RATE) if key in after]
    return f"{name} " + " / ".join(shares) if shares else NOTHING


def _first_tries(changes: Mapping[str, list[float] | None], name: str | None) -> str:
    found = None if name is None else changes[name]
    if found is None:
        return NOTHING
    change, low, high = found
    return f"{name} {change:+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    typer.run(main)
