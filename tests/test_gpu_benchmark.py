"""benchmarks/gpu.py as far as a CPU goes: all of it but the figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_of_random_weights_is_measured_and_what_is_not_has_its_reason() -> None:
    ended = run("--device", "cpu", "--steps", "1", "--only", "qwen3-0.6b", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    measured = found["runs"]["qwen3-0.6b"]
    assert list(found["runs"]) == ["qwen3-0.6b"]
    assert measured["steps"] == 1
    for name in ("tokens_sampling", "tokens_training", "flops_per_second_sampling", "flops_per_second_training"):
        assert measured[name] > 0, name
    assert measured["seconds"]["solve"] > 0
    assert measured["peak_bytes"] > 1 << 20
    assert found["limits"]["bf16_flops"] > 0
    assert all(part["skipped"] for part in found["trl"].values())
    assert "not measured: TRL, chat: " in ended.stderr
    assert "qwen3-0.6b" in ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_one_line_says_what_to_do() -> None:
    ended = run()
    assert ended.returncode == 2
    assert "--device cpu" in ended.stderr
