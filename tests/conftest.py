"""What all test files share: how many threads torch takes, which files begin first, one server of runs, and
`inspect` in this process.

Two workers share the machine's cores, so torch must neither take two threads in each nor spin while it waits. Tests
that need a number of threads set it themselves, as runs do (`run.threads`).
"""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from looking import Look, looker
from run_server import Server

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of many processes compiles torch and transformers anew
sys.dont_write_bytecode = False

LONGEST = ("resume", "loop", "kills", "config", "needs", "database", "probes_run", "looking", "lab_command", "metrics")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first: else one worker is still at them when the other has nothing left."""
    rank = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Of a worker: preparing it takes ten seconds, and it runs nothing itself, so that no test can leave a mark."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Look:
    """A command of `inspect` in this process: (exit code, standard output, standard error)."""
    return looker(capsys)
