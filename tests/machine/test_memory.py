"""Freed memory is kept up to a bound, and given back beyond it: seen in a process of its own. What is free."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selfplay.machine.memory import free_bytes, unused_bytes

SCRIPT = """
import json
from selfplay.machine.memory import keep_freed_memory, release_freed_memory, unused_bytes
keep_freed_memory()
blocks = [bytearray(1 << 20) for _ in range(300)]
before = unused_bytes()
del blocks[:-1]
seen = [before, unused_bytes()]
release_freed_memory(beyond=1 << 40)
seen.append(unused_bytes())
release_freed_memory(beyond=100 << 20)
print(json.dumps([*seen, unused_bytes()]))
"""


@pytest.mark.skipif(unused_bytes() < 0, reason="this C library does not tell what it keeps")
def test_what_is_kept_is_known_and_given_back_beyond_the_bound() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    used, freed, kept, released = json.loads(ran.stdout)
    assert freed - used > 250 << 20
    assert abs(kept - freed) < 10 << 20
    assert freed - released > 250 << 20


PEAKS = """
import json
from selfplay.machine.memory import peak_bytes, restart_peak
held = bytearray(200 << 20)
first = peak_bytes()
del held
restart_peak()
print(json.dumps([first, peak_bytes()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a peak begin anew")
def test_a_phase_shows_its_own_peak() -> None:
    ran = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    first, second = json.loads(ran.stdout)
    assert first > 200 << 20 and second < first - (150 << 20)


def test_what_is_free_is_the_machines_or_what_the_control_group_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    5000 kB\n")
    group = tmp_path / "group"
    group.mkdir()
    assert free_bytes(meminfo, group) == 5000 * 1024, "no limit"
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("700000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert free_bytes(meminfo, group) == 5000 * 1024, "no limit"
    (group / "memory.max").write_text("1000000\n")
    assert free_bytes(meminfo, group) == 400_000, "pages of files can be dropped"
    assert free_bytes(tmp_path / "nothing", tmp_path / "nothing") is None
    assert free_bytes() is not None or sys.platform != "linux"
