"""scripts/fuzz.py throws texts at every domain that is shipped; `-m fuzz` throws 100,000, which takes some minutes."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from curriculum.domains.loading import DOMAINS
from curriculum.domains.sums import SumsDomain
from store.records import Fate, Outcome, Problem

ROOT = Path(__file__).resolve().parent.parent


def script() -> ModuleType:
    """scripts/fuzz.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "scripts" / "fuzz.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


FUZZ = script()


@pytest.mark.parametrize("name", list(DOMAINS))
def test_every_domain_takes_hostile_texts_by_name(name: str, tmp_path: Path) -> None:
    domain = FUZZ.loaded(name, tmp_path)
    if domain is None:
        pytest.skip(f"{name} is not made without options")
    report = FUZZ.fuzz(domain, 150, seed=1)
    assert report.faults == []
    assert sum(report.outcomes.values()) == 150


class _Careless(SumsDomain):
    """Raises at a digit of another script, as int() and \\d take them, and calls any other answer right."""

    def parse(self, text: str) -> Fate:
        if "\u0663" in text:
            raise ValueError("invalid literal")
        return Fate.UNPARSED

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return (Outcome.UNJUDGED if "\ud800" in text else Outcome.CORRECT), text


def test_faults_are_found_and_can_be_made_again() -> None:
    report = FUZZ.fuzz(_Careless(), 400, seed=1)
    assert any("raised ValueError" in fault for fault in report.faults)
    assert any("UNJUDGED as an answer" in fault for fault in report.faults)
    assert report.faults == FUZZ.fuzz(_Careless(), 400, seed=1).faults


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_texts() -> None:
    done = subprocess.run([sys.executable, "scripts/fuzz.py", "100000"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
