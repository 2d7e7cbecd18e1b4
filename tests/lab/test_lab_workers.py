"""Workers of the lab do not outlive the process that started them."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

HELPERS = Path(__file__).parents[1] / "helpers"


def test_workers_end_when_their_parent_is_killed() -> None:
    environment = os.environ | {"PYTHONPATH": str(HELPERS.parents[1])}
    command = [sys.executable, str(HELPERS / "pool_parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        try:
            assert parent.poll() is None and len({parent.pid, *workers}) == 3
            parent.kill()
            said, _ = parent.communicate(timeout=10)  # ends when nobody holds the pipe any more, so when all are gone
            assert said == "" and parent.returncode == -signal.SIGKILL
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
