"""scripts/report.py: tables of several runs, also where they are of different domains."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def summary(run: str, before: dict[str, Any], after: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": run, "evaluation": {"before": before, "after": after}, "change": change, "steps": 3, "seconds": 7.0,
        "signal_share_thirds": [0.5] * 3, "mixed_share_thirds": [0.25] * 3, "peak_memory_bytes": 2e9,
        "challenger": {"valid_new_share_first_third": 0.1, "valid_new_share_last_third": 0.2,
                       "trained_share_last_third": 0.3},
    }  # fmt: skip


def test_runs_of_different_domains_stand_in_one_table(tmp_path: Path) -> None:
    """Case 16: a KeyError before. The third run was stopped before its last evaluation."""
    low = {"acc_t1": 0.25, "acc_t2": 0.25}
    high = {"acc_t1": 0.75, "acc_t2": 0.5, "i2c": 0.11, "c2i": 0.22, "change_rate": 0.33}
    found = [
        summary("a-seed0", {"add2": low}, {"add2": high}, {"add2": {"acc_t1": [0.5, 0.25, 0.75]}})
        | {"change_of_all": {"acc_t1": [0.4, 0.3, 0.5]}, "smallest_fall": {"add2": 0.03}},
        summary("b-seed0", {"sort": low}, {"sort": low}, {"sort": {"acc_t1": [0.0, -0.5, 0.5]}}),
        summary("b-seed1", {"sort": low}, {}, {}),
        summary("b-seed2", {"sort": low}, {"sort": low}, {"sort": {"acc_t1": [0.1, -0.5, 0.5]}}),
    ]
    folders = []
    for each in found:
        folder = tmp_path / each["run"]
        folder.mkdir()
        (folder / "summary.json").write_text(json.dumps(each))
        folders.append(str(folder))
    done = subprocess.run([sys.executable, "scripts/report.py", *folders], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "| a-seed0 | 0.25 → 0.75, 0.25 → 0.50 | - |" in lines
    assert "| b-seed0 | - | 0.25 → 0.25, 0.25 → 0.25 |" in lines
    assert "| b-seed1 | - | - |" in lines
    assert any(line.startswith("| a-seed0 | add2 0.11 / 0.22 / 0.33 | add2 +0.50 [+0.25, +0.75] |") for line in lines)
    assert any("| all +0.40 [+0.30, +0.50] |" in line for line in lines)
    assert "The least fall that a set can show (exact test of McNemar at 5%, none gained): add2 0.03" in lines
    assert "| a | 1 | 0.75 (0.75 to 0.75) | - |" in lines and "| b | 3 | - | 0.25 (0.25 to 0.25) |" in lines
    assert "| a | 1 | +0.50 | - |" in lines
    assert "| b | 3 | - | +0.05 [-0.59, +0.69] |" in lines  # of two changes: 0.05 +- 12.71 sqrt(0.005) / sqrt(2)
    assert "| b | 3 | - | 0.50 0.50 0.50 | 0.25 0.25 0.25 | 0.10 → 0.20 | - |" in lines
