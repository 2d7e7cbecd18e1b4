"""What tests of vLLM share."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from with_stand_in import SETTINGS, STAND_IN
from with_vllm import patched as patched_in
from with_vllm import tiny

from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.process import Process
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.worker import Worker
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
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


@pytest.fixture
def policy() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    (tmp_path / "faults").mkdir()
    return tmp_path / "faults"


@pytest.fixture
def python(tmp_path: Path, faults: Path) -> Path:
    """What runs the stand-in where it is asked to run the worker."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} {faults} "$@"\n')
    python.chmod(0o700)
    return python


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def make(policy: Policy, python: Path, lines: list[str]) -> Iterator[Callable[..., VllmSampler]]:
    made = []

    def sampler(
        policy: Policy = policy, python: Path = python, seconds: float = 60.0, restarts: int = 2
    ) -> VllmSampler:
        settings = replace(SETTINGS, restarts=restarts)
        made.append(
            VllmSampler(
                policy, TreeEngine(policy, 3), 3, settings, lambda: Worker(Process(python, 1, 0), seconds), lines.append
            )
        )
        return made[-1]

    yield sampler
    for each in made:
        each.close()
