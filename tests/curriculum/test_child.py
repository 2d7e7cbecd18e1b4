"""A library in a process that may be ended."""

from pathlib import Path

import pytest
from run_server import ROOT

from curriculum.child import Child

HASHING = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from curriculum.child import serve
serve(lambda question: {{"hash": hash(question["text"])}}, 2**28)
"""


def test_hashes_are_the_same_in_every_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that iterates over a set makes the same of it in every run."""
    script = tmp_path / "hashing_child.py"
    script.write_text(HASHING)
    found = set()
    for hash_seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        found.add(Child(script, seconds=2.0, patience=60.0).ask({"text": "a"})["hash"])
    assert len(found) == 1
