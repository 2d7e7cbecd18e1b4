"""Two workers share the machine's cores, so torch must neither take two threads in each nor spin while it waits.

Tests that need a number of threads set it themselves, as runs do (`run.threads`).
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

LONGEST_FIRST = ("test_resume.py", "test_kills.py", "test_loop.py", "test_inspect.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker takes a whole file, and files in this order: one that takes minutes must not be the last to begin."""
    items.sort(key=lambda item: (*LONGEST_FIRST, item.path.name).index(item.path.name))
