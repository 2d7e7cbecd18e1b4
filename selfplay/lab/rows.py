"""What a finished cell leaves: one small JSON file, docs/lab/<experiment>/<arm>-seed<seed>.json, that git keeps.

Written once and read strictly: a page must not be made of half a row, so what is damaged is named, file and key.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from selfplay.evaluation.formats import read_outcomes, read_reports, read_searches
from selfplay.machine.errors import DATA, Refused
from selfplay.machine.files import write_whole

T = TypeVar("T")
Moment = Literal["start", "end"]
MOMENTS: tuple[Moment, ...] = ("start", "end")
DIGITS = 6
_SAMPLES = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class RowError(Refused, ValueError):
    """A row that cannot be read or written: the message names the file and the key."""

    def __init__(self, message: str) -> None:
        super().__init__(message, DATA)


@dataclass(frozen=True, slots=True)
class Row:
    """One arm with one seed. `metrics` are those of full evaluations, `series` those of all, over training.

    start, end: {set: {metric: value}}. outcomes, reports, searches: {set: {moment: text}} as evaluations store them
    (selfplay/evaluation/formats.py). samples: {set: {moment: text}}, of each problem how many of how many samples were
    right (`samples_text`). series: {set: {metric: [(step, value)]}}.
    """

    experiment: str
    arm: str
    seed: int
    commit: str
    config: tuple[str, ...]
    steps: int
    seconds: float
    fingerprint: str
    start: Mapping[str, Mapping[str, float]]
    end: Mapping[str, Mapping[str, float]]
    outcomes: Mapping[str, Mapping[str, str]]
    reports: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    searches: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    samples: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    series: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str, where: str) -> "Row":
        """The row in `text`; RowError, a ValueError, begins with `where` and names the key that is wrong."""
        try:
            return _row(json.loads(text))
        except json.JSONDecodeError as error:
            raise RowError(f"{where}: not JSON: {error}") from error
        except _Damage as error:
            raise RowError(f"{where}: {error}") from error

    def to_json(self) -> str:
        """Sorted keys, 6 significant digits, a newline at the end; RowError for a number that is not finite."""
        value = asdict(self)
        if not self.samples:  # most rows have none, and older ones no such key
            del value["samples"]
        return json.dumps(_rounded(value, f"{self.arm}-seed{self.seed}"), sort_keys=True, indent=1) + "\n"


def row_path(folder: Path, arm: str, seed: int) -> Path:
    """Where in an experiment's folder the row of a cell is."""
    return folder / f"{arm}-seed{seed}.json"


def write_row(folder: Path, row: Row) -> Path:
    """Write a row as a whole or not at all; makes the folder. The path it has now."""
    text = row.to_json()
    folder.mkdir(parents=True, exist_ok=True)
    path = row_path(folder, row.arm, row.seed)
    write_whole(path, [text])
    return path


def read_row(path: Path) -> Row:
    """One row. Raises RowError where it is damaged or is another cell's, OSError where it is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RowError(f"{path}: not UTF-8") from error
    row = Row.from_json(text, str(path))
    if path != row_path(path.parent, row.arm, row.seed):
        raise RowError(f"{path}: arm, seed: the row is that of {row_path(path.parent, row.arm, row.seed).name}")
    return row


def read_rows(folder: Path) -> list[Row]:
    """All rows of a folder by arm and seed; none where there is no folder. Raises RowError."""
    return sorted((read_row(path) for path in folder.glob("*.json")), key=lambda row: (row.arm, row.seed))


def samples_text(right: Sequence[int], n: int) -> str:
    """Of each problem how many of `n` samples were right. Example: [3, 0] of 256 -> "3/256 0/256"."""
    return " ".join(f"{each}/{n}" for each in right)


def read_samples(text: str) -> list[tuple[int, int]]:
    """The inverse, [(right, samples)]. ValueError for another form, and where samples differ between problems."""
    found = []
    for part in text.split():
        match = _SAMPLES.fullmatch(part)
        if match is None or not 0 <= int(match[1]) <= int(match[2]) or int(match[2]) == 0:
            raise ValueError(f"{part!r} is no count of right samples like 3/256")
        found.append((int(match[1]), int(match[2])))
    if len({n for _, n in found}) > 1:
        raise ValueError("problems have different numbers of samples")
    return found


def rounded(value: float) -> float:
    """With as many digits as rows have."""
    return float(f"{value:.{DIGITS}g}")


class _Damage(Exception):
    """The key that is wrong, and how."""


def _row(value: Any) -> Row:
    raw = _mapping("the row", value, lambda key, each: each)
    known = {each.name for each in fields(Row)}
    required = known - {"reports", "searches", "samples", "series"}
    if wrong := sorted(required - raw.keys()):
        raise _Damage(f"{', '.join(wrong)}: missing")
    if wrong := sorted(raw.keys() - known):
        raise _Damage(f"{', '.join(wrong)}: unknown")
    row = Row(
        experiment=_text("experiment", raw["experiment"]),
        arm=_text("arm", raw["arm"]),
        seed=_whole("seed", raw["seed"]),
        commit=_text("commit", raw["commit"]),
        config=tuple(_text(f"config.{i}", each) for i, each in enumerate(_list("config", raw["config"]))),
        steps=_whole("steps", raw["steps"]),
        seconds=_number("seconds", raw["seconds"]),
        fingerprint=_text("fingerprint", raw["fingerprint"]),
        start=_mapping("start", raw["start"], _metrics),
        end=_mapping("end", raw["end"], _metrics),
        outcomes=_mapping("outcomes", raw["outcomes"], _outcomes),
        reports=_mapping("reports", raw.get("reports", {}), _strings(read_reports)),
        searches=_mapping("searches", raw.get("searches", {}), _strings(read_searches)),
        samples=_mapping("samples", raw.get("samples", {}), _strings(read_samples)),
        series=_mapping("series", raw.get("series", {}), lambda key, each: _mapping(key, each, _points)),
    )
    _check_sets(row)
    return row


def _check_sets(row: Row) -> None:
    """Every part speaks of the same sets, and every string of a set of the same problems."""
    for name, sets in (("start", row.start), ("end", row.end)):
        if sets.keys() != row.outcomes.keys():
            raise _Damage(f"{name}: sets {', '.join(sorted(sets))}, but outcomes {', '.join(sorted(row.outcomes))}")
    for kind in ("reports", "searches", "samples"):
        for set_name, by_moment in getattr(row, kind).items():
            if set_name not in row.outcomes:
                raise _Damage(f"{kind}.{set_name}: no such set")
            for moment, text in by_moment.items():
                said, there = len(text.split()), len(row.outcomes[set_name]["end"])
                if said != there:
                    raise _Damage(f"{kind}.{set_name}.{moment}: {said} {kind} on {there} problems")


def _outcomes(key: str, value: Any) -> Mapping[str, str]:
    found = _mapping(key, value, _text)
    if found.keys() != set(MOMENTS):
        raise _Damage(f"{key}: needs start and end, nothing else")
    for moment, digits in found.items():
        try:
            has_any = bool(read_outcomes(digits))
        except ValueError:
            has_any = False
        if not has_any:
            raise _Damage(f"{key}.{moment}: needs digits from 0 to 3, at least one")
    if len(found["start"]) != len(found["end"]):
        raise _Damage(f"{key}: {len(found['start'])} problems at the start, {len(found['end'])} at the end")
    return found


def _strings(parse: Callable[[str], object]) -> Callable[[str, Any], Mapping[str, str]]:
    """Reads {moment: text} of which `parse` accepts every text."""

    def read(key: str, value: Any) -> Mapping[str, str]:
        found = _mapping(key, value, _text)
        if "end" not in found or found.keys() - set(MOMENTS):
            raise _Damage(f"{key}: needs end, may have start, nothing else")
        for moment, text in found.items():
            try:
                parse(text)
            except ValueError as error:
                raise _Damage(f"{key}.{moment}: {error}") from error
        return found

    return read


def _points(key: str, value: Any) -> list[tuple[int, float]]:
    points = []
    for index, point in enumerate(_list(key, value)):
        pair = _list(f"{key}.{index}", point)
        if len(pair) != 2:
            raise _Damage(f"{key}.{index}: needs [step, value]")
        points.append((_whole(f"{key}.{index}", pair[0]), _number(f"{key}.{index}", pair[1])))
    return points


def _metrics(key: str, value: Any) -> Mapping[str, float]:
    return _mapping(key, value, _number)


def _mapping(key: str, value: Any, read: Callable[[str, Any], T]) -> dict[str, T]:
    if not isinstance(value, dict):
        raise _Damage(f"{key}: not an object")
    return {name: read(name if key == "the row" else f"{key}.{name}", each) for name, each in value.items()}


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Damage(f"{key}: not a list")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Damage(f"{key}: not a string")
    return value


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _Damage(f"{key}: not a whole number from 0")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Damage(f"{key}: not a finite number")
    return float(value)


def _rounded(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each, f"{key}.{name}") for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each, f"{key}.{index}") for index, each in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RowError(f"{key}: {value} is not finite")
        return rounded(value)
    return value
