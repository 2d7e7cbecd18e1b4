"""What tests of vLLM share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from with_vllm import patched as patched_in
from with_vllm import tiny

from selfplay.model.weights.tiny import ByteTokenizer


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's, as model.name takes it."""
    folder = tmp_path_factory.mktemp("model")
    tiny(True).save_pretrained(folder)
    ByteTokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def patched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A Python whose worker has something done to it first."""
    return lambda patch: patched_in(tmp_path_factory.mktemp("patched"), patch)
