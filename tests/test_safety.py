"""Documents that promise name the tests that prove it, and those are there."""

import re

import pytest
from run_server import ROOT


@pytest.mark.parametrize("name", ["safety.md", "durability.md"])
def test_every_test_that_is_named_is_there(name: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / name).read_text()))
    there = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 15 and named - there == set()


def test_figures_of_limits_are_the_codes() -> None:
    from curriculum.sandbox import _LIMITS
    from selfplay.prompting.template_child import LONGEST, MEMORY
    from selfplay.prompting.templates import SECONDS

    text = (ROOT / "docs" / "safety.md").read_text()
    assert "2 seconds of processor time or 256 MB" in text and (SECONDS, MEMORY) == (2.0, 256 * 2**20)
    assert "more than a million characters" in text and LONGEST == 2**20
    assert "more than a second, 16 MB or 100 calls deep" in text
    limits = (_LIMITS["max_feed_duration_secs"], _LIMITS["max_memory"], _LIMITS["max_recursion_depth"])
    assert limits == (1.0, 16 * 2**20, 100)


def test_figures_of_programs_are_the_codes() -> None:
    from curriculum.domains.python.metering import MAX_STEPS
    from curriculum.sandbox import PROGRAM_DEPTH, PROGRAM_MEMORY, PROGRAM_SECONDS

    text = (ROOT / "docs" / "safety.md").read_text()
    assert "more than 2,000 steps, 512 kB, 60 calls deep, twice half a second" in text
    assert (MAX_STEPS, PROGRAM_MEMORY, PROGRAM_DEPTH, max(PROGRAM_SECONDS)) == (2_000, 512 * 2**10, 60, 0.5)


def test_figures_of_a_datasets_programs_are_the_codes() -> None:
    from curriculum.domains.datasets.programs import FLOAT_DIGITS, MAX_CHARS, MAX_MEMORY, MAX_STEPS, SECONDS
    from curriculum.sandbox import PROGRAM_DEPTH

    assert "100,000 steps, 16 MB, 60 calls deep, nine seconds" in (ROOT / "docs" / "safety.md").read_text()
    assert (MAX_STEPS, MAX_MEMORY, PROGRAM_DEPTH, 2 * sum(SECONDS)) == (100_000, 16 * 2**20, 60, 9.0)
    text = " ".join((ROOT / "docs" / "domains.md").read_text().split())
    assert "at most 4,000 characters, 100,000 steps of loops and calls, and 16 MB" in text and MAX_CHARS == 4_000
    assert "rounded to 12 significant digits" in text and FLOAT_DIGITS == 12
