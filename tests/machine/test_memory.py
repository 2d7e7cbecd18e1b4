"""Freed memory is kept up to a bound, and given back beyond it: seen in a process of its own."""

import json
import subprocess
import sys

import pytest

from selfplay.machine.memory import unused_bytes

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
