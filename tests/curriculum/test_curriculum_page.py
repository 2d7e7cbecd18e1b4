"""docs/curriculum.md has every number of the curriculum, as it stands in the code, and names functions that exist."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from curriculum.settings import CurriculumSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "curriculum.md").read_text()
MODULES = [
    importlib.import_module(f"curriculum.{name}")
    for name in (
        "holdout", "settings", "selection.admission", "selection.drawing", "selection.filling", "selection.novelty",
        "selection.scheduler", "selection.rescue", "selection.archive", "selection.aim", "tracking.difficulty",
        "tracking.families", "tracking.features", "tracking.foretelling", "tracking.learned", "tracking.posterior",
        "tracking.rate_model", "tracking.snapshot", "tracking.states",
    )
]  # fmt: skip
ELSEWHERE = {"_PER_ATTEMPTS", "_NAMED"}  # the 8 in the bank's formula; how many problems an error names
CONSTANTS = {
    name: float(value)
    for module in MODULES
    for name, value in vars(module).items()
    if name.isupper() and type(value) in (int, float) and name not in ELSEWHERE
}
SETTINGS = {
    field.name: float(field.default)  # type: ignore[arg-type]
    for field in fields(CurriculumSettings)
    if field.name not in ("group_size", "forecast")
}


def told() -> dict[str, float]:
    """Name -> value, of the page's tables."""
    rows = re.findall(r"^\| (`[^|]*?) \| ([^|]*?) \|", PAGE, flags=re.MULTILINE)
    pairs = ((re.findall(r"`(\w+)`", names), values.replace("2^62", str(2**62)).split(", ")) for names, values in rows)
    return {name: float(value) for names, values in pairs for name, value in zip(names, values, strict=True)}


def test_every_number_is_told_as_it_stands_in_the_code() -> None:
    assert told() == CONSTANTS | SETTINGS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z]\w+\.\w+)`", PAGE))))
def test_what_the_page_names_is_there(name: str) -> None:
    owner, _, member = name.partition(".")
    [found] = {vars(module)[owner] for module in MODULES if owner in vars(module)}
    assert hasattr(found, member)
